"""Run a sample of the mutants and print the score: see the package."""

import argparse
import sys
from collections import Counter

from tests.mutation_score.sampling import choose, interval
from tests.mutation_score.tool import Mutant, make_mutants, read_mutants, run_mutants


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Print the mutation score of the engine.")
    parser.add_argument("--sample", type=int, default=300, help="how many mutants (300)")
    parser.add_argument("--seed", type=int, default=1, help="which mutants (1)")
    parser.add_argument("--module", default="", help="only of this module, such as client.parsing")
    parser.add_argument(
        "--again", action="store_true", help="run survivors again, for example after a new test"
    )
    parser.add_argument(
        "--report", action="store_true", help="run nothing, and print what is known"
    )
    parser.add_argument("--fail-under", type=float, default=85, help="in per cent (85)")
    return parser.parse_args()


def main() -> int:
    """Run what has not run yet; return 1 if the score is too low."""
    options = parse_arguments()
    make_mutants()
    mutants = read_mutants()
    names: dict[str, list[str]] = {}
    for mutant in mutants.values():
        if mutant.module.startswith(options.module):
            names.setdefault(mutant.module, []).append(mutant.name)
    sample = choose(names, options.sample, options.seed)
    verdicts = {"not checked"} | ({"survived", "no tests"} if options.again else set())
    todo = [name for name in sample if mutants[name].verdict in verdicts]
    if todo and not options.report:
        run_mutants(todo)
        mutants = read_mutants()
    total = sum(len(found) for found in names.values())
    score = print_score([mutants[name] for name in sample], total, options.seed)
    return 0 if 100 * score >= options.fail_under else 1


def print_score(sample: list[Mutant], total: int, seed: int) -> float:
    """Print the survivors, the verdicts of each module, and the score; return the score."""
    sample = [mutant for mutant in sample if mutant.verdict != "not checked"]
    survivors = [mutant for mutant in sample if not mutant.is_killed]
    unexplained = [mutant for mutant in survivors if not mutant.equivalent]
    for mutant in unexplained:
        old, new = mutant.change
        print(f"{mutant.verdict}: {mutant.name}\n  - {old}\n  + {new}")
    print(f"\n{'module':<28}{'sample':>8}{'killed':>8}")
    checked = Counter(mutant.module for mutant in sample)
    killed = Counter(mutant.module for mutant in sample if mutant.is_killed)
    for module, count in sorted(checked.items()):
        print(f"{module:<28}{count:>8}{killed[module]:>8}")
    print(f"\n{len(sample)} of {total} mutants, seed {seed}: {dict(verdict_counts(sample))}")
    print(f"{len(survivors) - len(unexplained)} survivors are equivalent: no test can kill them")
    print_share("killed, of all", killed.total(), len(sample))
    return print_share(
        "killed, of those that are not equivalent",
        killed.total(),
        killed.total() + len(unexplained),
    )


def verdict_counts(sample: list[Mutant]) -> Counter[str]:
    """Count the verdicts, in mutmut's words."""
    return Counter(mutant.verdict for mutant in sample)


def print_share(text: str, killed: int, judged: int) -> float:
    """Print a share in per cent with its 95 % confidence interval, and return it."""
    low, high = interval(killed, judged)
    share = killed / judged if judged else 0.0
    print(f"{text}: {share:.1%} ({low:.1%} to {high:.1%} with 95 % confidence)")
    return share


if __name__ == "__main__":
    sys.exit(main())
