"""The fault matrix of the documentation, and the tests of each fault.

``python -m tests.fault_matrix`` rewrites the last column of the page's tables.
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.markers import names_by_code

PAGE = Path(__file__).resolve().parents[1] / "docs" / "explanation" / "fault-matrix.md"
ROW = re.compile(
    r"^\| (?P<code>[A-Z]\d+) \| (?P<fault>.*?) \| (?P<outcome>.*?) \| (?P<tests>.*?) ?\|$"
)


@dataclass(frozen=True)
class Fault:
    """One row of the matrix."""

    code: str
    fault: str
    outcome: str
    tests: tuple[str, ...]


def read_faults() -> list[Fault]:
    """Return the rows of the page."""
    rows = [match for line in PAGE.read_text().splitlines() if (match := ROW.match(line))]
    return [
        Fault(
            row["code"], row["fault"], row["outcome"], tuple(re.findall(r"`(\w+)`", row["tests"]))
        )
        for row in rows
    ]


def names_column(names: list[str]) -> str:
    """Return the last column for these tests."""
    return "<br>".join(f"`{name}`" for name in sorted(names))


def updated_page() -> str:
    """Return the page with the tests that have the markers now."""
    tests = names_by_code("fault")
    lines = PAGE.read_text().splitlines(keepends=True)
    for number, line in enumerate(lines):
        if match := ROW.match(line):
            code, fault, outcome, _tests = match.groups()
            lines[number] = (
                f"| {code} | {fault} | {outcome} | {names_column(tests.get(code, []))} |\n"
            )
    return "".join(lines)


def main() -> int:
    """Rewrite the page, and print the codes of markers that have no row."""
    PAGE.write_text(updated_page())
    unknown = sorted(set(names_by_code("fault")) - {fault.code for fault in read_faults()})
    for code in unknown:
        sys.stderr.write(f"{code} is a marker's code, but has no row in {PAGE.name}\n")
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main())
