"""Check that a mutant can be made, and run its test in a copy of the broken code."""

import ast
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutants.table import MUTATIONS, Mutation

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "django_docraptor"


def find_problems(mutation: Mutation) -> Iterator[str]:
    """Yield what keeps a mutant from being made: the code to break, or its test, is missing."""
    file = PACKAGE / mutation.file
    text = file.read_text() if file.exists() else ""
    for old in (mutation.old, *(mutation.extra_change or ())[:1]):
        if (count := text.count(old)) != 1:
            yield f"{mutation.name}: {old!r} occurs {count} times in {mutation.file}"
    path, *names = mutation.test.split("::")
    if not (ROOT / path).exists():
        yield f"{mutation.name}: {path} does not exist"
    elif names and names[-1] not in _function_names(ROOT / path):
        yield f"{mutation.name}: {path} has no test {names[-1]}"


def _function_names(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef)}


def run_all() -> int:
    """Run every mutant, as many at once as there are cores, and return the number of survivors."""
    survivors = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for mutation, (verdict, seconds) in zip(
            MUTATIONS, pool.map(run_mutant, MUTATIONS), strict=True
        ):
            survivors += verdict != "killed"
            print(f"{verdict:<9} {seconds:5.1f} s  {mutation.name}  [{mutation.test}]", flush=True)
    print(f"{len(MUTATIONS)} mutants, {survivors} not killed")
    return survivors


def run_mutant(mutation: Mutation) -> tuple[str, float]:
    """Run the test in a copy of the code with the broken guard.

    Returns:
        What became of the mutant, and the seconds that it took.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory)
        for name in ("django_docraptor", "tests"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        file = copy / "django_docraptor" / mutation.file
        text = file.read_text().replace(mutation.old, mutation.new)
        if mutation.extra_change:
            text = text.replace(*mutation.extra_change)
        file.write_text(text)
        options = ["-q", "-x", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, mutation.test],
            cwd=copy,
            capture_output=True,
            timeout=300,
            check=False,
        )
    verdict = {0: "SURVIVED", 1: "killed"}.get(done.returncode, f"ERROR {done.returncode}")
    return verdict, time.monotonic() - started
