"""Check or run the mutants: see the package."""

import argparse
import sys

from tests.mutants import MUTATIONS, find_problems
from tests.mutants.runner import run_all


def main() -> int:
    """Check or run every mutant; return the exit status."""
    parser = argparse.ArgumentParser(description="Break each guard and check that its test fails.")
    parser.add_argument(
        "--check", action="store_true", help="only check that the code and the tests exist"
    )
    options = parser.parse_args()
    problems = [problem for mutation in MUTATIONS for problem in find_problems(mutation)]
    for problem in problems:
        print(problem)
    if problems or options.check:
        return 1 if problems else 0
    return 1 if run_all() else 0


if __name__ == "__main__":
    sys.exit(main())
