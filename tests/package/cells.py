"""Versions of Python and Django: which exist, which this machine has, and what runs in each."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.package.distributions import Distributions, PackageError
from tests.package.environments import Environment, constraints_without_django, find_python

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
# The oldest Python of each Django.
DJANGOS = {"5.2": "3.10", "6.0": "3.12", "6.1": "3.12"}
PRINT_VERSIONS = """
import django, platform
print("Python", platform.python_version() + ", Django", django.__version__)
"""
SITE = Path(__file__).parent / "site"


def as_numbers(version: str) -> tuple[int, ...]:
    """Return a version that can be compared."""
    return tuple(int(part) for part in version.split("."))


@dataclass(frozen=True, slots=True)
class Cell:
    """A Python and a Django."""

    python: str
    django: str

    def __str__(self) -> str:
        """Return its name on the command line."""
        return f"{self.python}/{self.django}"

    @property
    def exists(self) -> bool:
        """Whether Django supports this Python."""
        return as_numbers(self.python) >= as_numbers(DJANGOS[self.django])

    def try_package(self, files: Distributions, folder: Path) -> str:
        """Install and use the wheel in a new environment and a new project.

        Returns:
            The versions, and what came out.

        Raises:
            PackageError: A step fails.
        """
        folder.mkdir()
        environment = Environment(
            folder / "venv", find_python(self.python), constraints_without_django(folder)
        )
        environment.install(str(files.wheel), f"django~={self.django}.0")
        project = folder / "project"
        project.mkdir()
        versions = environment.run("-c", PRINT_VERSIONS, cwd=project).strip()
        use_without_extras(environment, project)
        environment.install(f"{files.wheel}[sandbox]")
        return f"{versions}: {use_with_sandbox(environment, project)}"


ALL = [Cell(python, django) for python in PYTHONS for django in DJANGOS]


def use_without_extras(environment: Environment, project: Path) -> None:
    """Start a project, check and migrate it, and run its test.

    Raises:
        PackageError: The check reports something else than that there are no permanent files.
    """
    environment.run("-m", "django", "startproject", "mysite", ".", cwd=project)
    for name in ("settings", "urls"):
        with (project / "mysite" / f"{name}.py").open("a") as file:
            file.write((SITE / f"{name}.txt").read_text())
    shutil.copy(SITE / "without_extras.py", project / "tests.py")
    checked = environment.run("manage.py", "check", cwd=project)
    if "no issues" not in checked:
        raise PackageError(checked)
    environment.run("manage.py", "migrate", "--verbosity=0", cwd=project)
    environment.run("manage.py", "makemigrations", "--check", "--dry-run", cwd=project)
    environment.run("manage.py", "test", cwd=project)


def use_with_sandbox(environment: Environment, project: Path) -> str:
    """Generate a document with the sandbox, and return its size."""
    sandbox = ("-m", "django_docraptor.sandbox", "--port", "0")
    with environment.running(*sandbox, cwd=project) as line:
        with (project / "mysite" / "settings.py").open("a") as file:
            file.write(f'\nDOCRAPTOR["BASE_URL"] = "{line.rpartition(" ")[2]}"\n')
        story = (SITE / "with_sandbox.py").read_text()
        printed = environment.run("manage.py", "shell", "-c", story, cwd=project)
    (document,) = (project / "documents").rglob("*.pdf")
    return f"{printed.strip().splitlines()[-1]} in {os.path.relpath(document, project)}"
