"""Words that the vocabulary has replaced do not come back with their old meaning."""

import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent.parent
# Only words that have no other meaning here; docs/explanation/vocabulary.md has them all.
REPLACED = {
    "notify, wake up": r"rings?|rung|ringing|_?bells?|doorbells?|alarms?|[Rr]ing_on_commit",
    "schedule": r"outlooks?",
    "heartbeat": r"pulses?",
    "postpone": r"put_?off|puts off|putting off",
    "status page": r"waiting page",
    "fault injection": r"mayhem|epitaphs?",
    "JobSpec": r"check_order|build_order|get_order|request_of",
    "baseline": r"usual way",
    "users, workers, processes": r"somebody|nobody|whoever",
    "current": r"present (?:transaction|language|attempt)",
    "is not a": r"(?<!there )is no (?:dict|list|model|class|file|string|document|product)",
}
PATTERN = re.compile("|".join(rf"(?<![\w])(?:{words})(?!\w)" for words in REPLACED.values()), re.I)
EXEMPT = ("CHANGELOG.md", "docs/explanation/vocabulary.md", "tests/integration/test_words.py")


def tracked_files() -> list[str]:
    """Return the text files of the repository in which words matter."""
    listed = subprocess.run(
        ["git", "ls-files", "*.py", "*.md", "*.html", "*.txt"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in listed.stdout.splitlines() if name not in EXEMPT]


def test_replaced_words_are_not_used() -> None:
    """No file uses a word that the vocabulary lists under "not"."""
    if not (ROOT / ".git").exists():
        pytest.skip("The list of files comes from git, and this is not a checkout.")
    found = [
        f"{name}:{number}: {match.group()}"
        for name in tracked_files()
        for number, line in enumerate((ROOT / name).read_text().splitlines(), 1)
        for match in PATTERN.finditer(line)
    ]
    assert found == []
