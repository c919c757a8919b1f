"""Make mutants, run them and read what became of them, with mutmut."""

import io
import json
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from tests.mutation_score.equivalent import EQUIVALENT, Equivalent

# mutmut reads its settings from pyproject.toml in the current directory, and writes there.
DIRECTORY = Path("mutants")
KILLED = ("killed", "timeout", "caught by type check")


@dataclass(frozen=True)
class Mutant:
    """A mutant and its verdict, in mutmut's words; ``not checked`` if it has not run yet."""

    name: str
    path: Path
    verdict: str

    @property
    def module(self) -> str:
        """The module below the package, such as ``client.parsing``."""
        return ".".join(self.path.with_suffix("").parts[1:])

    @property
    def is_killed(self) -> bool:
        """Whether a test fails, or runs far longer than it does without the mutation."""
        return self.verdict in KILLED

    @property
    def change(self) -> tuple[str, str]:
        """The changed lines: those of the code and those of the mutant."""
        from mutmut.mutation.diff_apply import get_diff_for_mutant

        lines = get_diff_for_mutant(self.name, path=self.path).splitlines()[2:]
        old, new = (
            "\n".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+"
        )
        return old, new

    @property
    def equivalent(self) -> Equivalent | None:
        """Why no test can kill it, if that is so."""
        return next(
            (
                one
                for one in EQUIVALENT
                if one.module == self.module and (one.old, one.new) == self.change
            ),
            None,
        )


def make_mutants() -> None:
    """Make the mutants of what has changed since the last call."""
    from mutmut.__main__ import copy_also_copy_files, copy_src_dir, create_mutants

    DIRECTORY.mkdir(exist_ok=True)
    with redirect_stdout(io.StringIO()):
        copy_src_dir()
        copy_also_copy_files()
        create_mutants(1)


def read_mutants() -> dict[str, Mutant]:
    """Return all mutants by their names."""
    from mutmut.stats import status_by_exit_code

    found = {}
    for meta in sorted(DIRECTORY.rglob("*.py.meta")):
        path = meta.relative_to(DIRECTORY).with_suffix("")
        for name, code in json.loads(meta.read_text())["exit_code_by_key"].items():
            found[name] = Mutant(name, path, status_by_exit_code[code])
    return found


def run_mutants(names: list[str]) -> None:
    """Run each mutant with the tests that call its function, one at a time.

    Raises:
        subprocess.CalledProcessError: the tests fail without a mutation, for example.
    """
    command = Path(sys.executable).with_name("mutmut")
    subprocess.run([command, "run", "--max-children", "1", *names], check=True)
