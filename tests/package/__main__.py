"""Build the package, and use it in a clean environment for each Python and Django."""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.package.cells import ALL, Cell
from tests.package.distributions import ROOT, Distributions, PackageError, build
from tests.package.environments import find_python


def parse_arguments() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(prog="make package", description=__doc__)
    names = [str(cell) for cell in ALL if cell.exists]
    parser.add_argument(
        "cells", nargs="*", metavar="PYTHON/DJANGO", help=f"of {', '.join(names)} (default: all)"
    )
    parser.add_argument(
        "--require-all", action="store_true", help="fail if this machine lacks a version of Python"
    )
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="where the files go")
    arguments = parser.parse_args()
    for name in arguments.cells:
        if name not in names:
            parser.error(f"{name!r} is not one of {', '.join(names)}")
    return arguments


def use_in_cells(files: Distributions, cells: list[Cell], folder: Path) -> int:
    """Use the package in each cell, say how it went, and return how many have failed."""
    failed = 0
    for number, cell in enumerate(cells):
        start = time.monotonic()
        try:
            result = f"ok      {cell.try_package(files, folder / str(number))}"
        except PackageError as error:
            failed += 1
            result = f"FAILED  {cell}: {error}"
        print(f"{result} ({time.monotonic() - start:.0f} s)", flush=True)
    return failed


def publish(files: Distributions, output: Path) -> None:
    """Keep the files that were tried, and no older ones."""
    output.mkdir(exist_ok=True)
    for old in [*output.glob("*.whl"), *output.glob("*.tar.gz")]:
        old.unlink()
    for file in (files.sdist, files.wheel):
        shutil.copy(file, output)


def main() -> int:
    """Build, use and report; return the exit status."""
    arguments = parse_arguments()
    cells = [cell for cell in ALL if cell.exists]
    if arguments.cells:
        cells = [cell for cell in cells if str(cell) in arguments.cells]
    usable = [cell for cell in cells if find_python(cell.python)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            files = build(folder / "dist")
        except PackageError as error:
            print(error)
            return 1
        print(f"built   {files.sdist.name}, without the tests, and {files.wheel.name}", flush=True)
        failed = use_in_cells(files, usable, folder)
        publish(files, arguments.output)
    absent = [cell for cell in cells if cell not in usable]
    for cell in absent:
        print(f"not run {cell}: this machine has no Python {cell.python}, on PATH or in pyenv")
    print(f"{len(usable) - failed} passed, {failed} failed, {len(absent)} not run")
    return int(bool(failed or not usable or (absent and arguments.require_all)))


if __name__ == "__main__":
    sys.exit(main())
