"""Clean virtual environments, whose Python knows nothing of this repository."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.package.distributions import ROOT, PackageError

TIMEOUT = 600
# What a process needs to find programs, certificates and caches.
INHERITED = ("PATH", "HOME", "LANG", "PIP_CACHE_DIR", "PIP_CONFIG_FILE", "SSL_CERT_FILE")


def find_python(version: str) -> str:
    """Return the newest Python of a minor version, from PATH or pyenv; blank if there is none."""
    root = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    installed = sorted(
        root.glob(f"versions/{version}.*/bin/python3"),
        key=lambda path: [int(part) for part in path.parts[-3].split(".") if part.isdecimal()],
        reverse=True,
    )
    for found in [shutil.which(f"python{version}"), *map(str, installed)]:
        # pyenv has a script for each version, which fails if that is not active.
        if found and subprocess.run([found, "--version"], capture_output=True).returncode == 0:
            return found
    return ""


class Environment:
    """A virtual environment without pip, into which this Python's pip installs.

    Args:
        folder: the directory of the environment; it is created.
        python: the Python that it is made of.
        constraints: files with the versions to install.
    """

    def __init__(self, folder: Path, python: str, *constraints: Path) -> None:
        self.folder = folder
        self.constraints = constraints
        self.python = folder / "bin" / "python"
        self.environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
        self._run([python, "-m", "venv", "--without-pip", str(folder)], cwd=folder.parent)

    def install(self, *requirements: str) -> None:
        """Install distributions from the registry, or by path."""
        options = [part for file in self.constraints for part in ("-c", str(file))]
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "--quiet"]
        pip.append("--no-compile")  # most of its modules are never imported
        self._run([*pip, *options, *requirements], cwd=self.folder)

    def run(self, *arguments: str, cwd: Path) -> str:
        """Run Python, which must succeed, and return what it prints."""
        return self._run([str(self.python), *arguments], cwd=cwd)

    def _run(self, command: list[str], *, cwd: Path) -> str:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        if done.returncode:
            raise PackageError(f"{' '.join(command)}\n{done.stdout}")
        return done.stdout

    @contextmanager
    def running(self, *arguments: str, cwd: Path) -> Iterator[str]:
        """Run Python in the background, and give the first line that it prints.

        Raises:
            PackageError: It ends before it prints one.
        """
        command = [str(self.python), "-u", *arguments]
        with subprocess.Popen(
            command,
            cwd=cwd,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            try:
                assert process.stdout
                line = process.stdout.readline().strip()
                if not line:
                    raise PackageError(f"{' '.join(command)} has printed nothing.")
                yield line
            finally:
                process.terminate()


def constraints_without_django(folder: Path) -> Path:
    """Write the constraints of the tests without Django's, whose version a cell chooses."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    file = folder / "constraints.txt"
    file.write_text("\n".join(line for line in lines if not line.startswith("django==")) + "\n")
    return file
