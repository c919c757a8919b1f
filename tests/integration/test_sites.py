"""The pages about other packages show the files of the sites, which `make sites` runs."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
SITES = ROOT / "tests" / "sites"
HOW_TO = ROOT / "docs" / "how-to"
# All of the first page, and of the second what it says about two frameworks.
PARTS = [
    (HOW_TO / "third-party.md").read_text(),
    (HOW_TO / "progress.md").read_text().partition("## With Django REST framework")[2],
]
BLOCKS = [block for part in PARTS for block in re.findall(r"```[\w+]+\n(.*?)```", part, re.DOTALL)]
NAMES = sorted(file.parent.name for file in SITES.glob("*/requirements.txt"))
SUFFIXES = {".py", ".html", ".mjs"}


def significant_lines(text: str) -> list[str]:
    """Return the lines that are neither empty nor a docstring of one line."""
    lines = (line.rstrip() for line in text.splitlines())
    return [line for line in lines if line and not re.fullmatch(r' *""".*"""', line)]


def is_part_of(block: list[str], file: list[str]) -> bool:
    """Return whether the lines follow each other in the file."""
    return any(file[start : start + len(block)] == block for start in range(len(file)))


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_blocks_are_of_the_sites(block: str) -> None:
    """Each block of the page is a part of a file that a site runs."""
    files = [path for path in SITES.rglob("*") if path.suffix in SUFFIXES]
    lines = significant_lines(block)
    assert any(is_part_of(lines, significant_lines(path.read_text())) for path in files), block


@pytest.mark.parametrize("name", NAMES)
def test_requirements_are_pinned(name: str) -> None:
    """What a site installs is the same today and next year; `--latest` is for what is new."""
    for line in (SITES / name / "requirements.txt").read_text().splitlines():
        assert re.match(r"[\w-]+==\d[\w.]*(; .*)?$", line), line


@pytest.mark.parametrize("name", NAMES)
def test_site_has_a_story(name: str) -> None:
    """Each site has what the runner uses: settings, URLs and a story with main()."""
    assert (SITES / name / "settings.py").is_file()
    assert (SITES / name / "urls.py").is_file()
    assert re.search(r"def main\(|import main", (SITES / name / "story.py").read_text())
