"""What mypy and pyright say about a project's code: nothing of correct use, and every mistake.

The files are checked as a project's own, in a directory outside of this repository.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# # What is wrong | mypy: code, code | pyright: code
EXPECTED = re.compile(r"^ *# [^|]+ \| mypy: (?P<mypy>[^|]+) \| pyright: (?P<pyright>[^|]+)$")
MYPY_CONFIG = """
[mypy]
strict = true
plugins = mypy_django_plugin.main
[mypy.plugins.django-stubs]
django_settings_module = tests.settings
"""

# Codes of the errors in a line, by file and line.
Errors = Mapping[tuple[str, int], set[str]]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with both files and the configuration of both checkers."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("correct_use.py", "mistakes.py"):
        shutil.copy(HERE / name, folder)
    (folder / "mypy.ini").write_text(MYPY_CONFIG)
    configuration = {"typeCheckingMode": "strict", "extraPaths": [str(ROOT)]}
    (folder / "pyrightconfig.json").write_text(json.dumps(configuration))
    return folder


def run_checker(project: Path, *arguments: str) -> str:
    """Run a type checker in a project and return its output."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr  # 1: there are errors
    return done.stdout


@pytest.fixture(scope="module")
def mypy_errors(project: Path) -> Errors:
    """What ``mypy --strict`` finds."""
    cache = str(ROOT / ".mypy_cache" / "typing")
    output = run_checker(
        project, "mypy", "--cache-dir", cache, "--output", "json", "correct_use.py", "mistakes.py"
    )
    found = defaultdict(set)
    for error in map(json.loads, output.splitlines()):
        if error["severity"] == "error":
            found[Path(error["file"]).name, error["line"]].add(error["code"])
    return found


@pytest.fixture(scope="module")
def pyright_errors(project: Path) -> Errors:
    """What pyright finds in its mode *strict*."""
    output = run_checker(project, "pyright", "--pythonpath", sys.executable, "--outputjson")
    found = defaultdict(set)
    for error in json.loads(output)["generalDiagnostics"]:
        line = error["range"]["start"]["line"] + 1
        found[Path(error["file"]).name, line].add(error.get("rule", error["message"]))
    return {place: without_consequences(codes) for place, codes in found.items()}


def without_consequences(codes: set[str]) -> set[str]:
    """Leave out that the type of what is wrong is unknown, too."""
    return {code for code in codes if not code.startswith("reportUnknown")} or codes


def expected_errors(checker: str) -> Errors:
    """Read the comments above the mistakes."""
    lines = (HERE / "mistakes.py").read_text().splitlines()
    return {
        ("mistakes.py", number + 1): set(match[checker].split(", "))
        for number, line in enumerate(lines, start=1)
        if (match := EXPECTED.match(line))
    }


@pytest.mark.services("node", "mypy", "pyright")
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_checker_finds_the_mistakes_and_nothing_else(
    checker: str, request: pytest.FixtureRequest
) -> None:
    """Each mistake gives the errors that are written above it; correct use gives none."""
    assert request.getfixturevalue(f"{checker}_errors") == expected_errors(checker)


def test_every_mistake_is_expected_of_both_checkers() -> None:
    """No comment is overlooked because it is written differently."""
    text = (HERE / "mistakes.py").read_text()
    assert len(expected_errors("mypy")) == len(expected_errors("pyright")) == text.count("| mypy:")
    assert len(expected_errors("mypy")) > 50
