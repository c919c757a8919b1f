"""The command line: ``python -m benchmarks.growth``."""

import json
import sys

from benchmarks.growth.measure import measure


def main() -> None:
    """Measure and print."""
    sizes = [int(size) for size in sys.argv[2].split(",")]
    found = measure(sys.argv[1], sizes=sizes, say=lambda line: sys.stdout.write(f"{line}\n"))
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
