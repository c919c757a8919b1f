"""A fresh Django project in a directory, as ``startproject`` makes it."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class NewProject:
    """A project with an app ``shop``, in which commands run as its reader would run them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run("-m", "django", "startproject", "mysite", ".")
        self.run("manage.py", "startapp", "shop")

    def run(self, *arguments: str, fails: bool = False) -> str:
        """Run Python in the project; return what it prints."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        for name in ("DJANGO_SETTINGS_MODULE", "DOCRAPTOR_API_KEY", "PYTEST_VERSION"):
            environment.pop(name, None)
        environment.pop("PYTEST_CURRENT_TEST", None)
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode != 0) == fails, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def manage(self, *arguments: str, fails: bool = False) -> str:
        """Run ``manage.py``; return what it prints."""
        return self.run("manage.py", *arguments, fails=fails)

    def append(self, name: str, text: str) -> None:
        """Add text at the end of a file."""
        file = self.folder / name
        file.write_text(f"{file.read_text()}\n{text}")

    def write(self, name: str, text: str) -> None:
        """Write a file, and its folder."""
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
