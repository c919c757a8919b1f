"""The distribution: one version, type information, few dependencies."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import django_docraptor

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGE = Path(django_docraptor.__file__).parent


def test_version_is_defined_once() -> None:
    """The build reads the version from the package, and no other file has it."""
    assert "version" in PYPROJECT["project"]["dynamic"]
    assert "version" not in PYPROJECT["project"]
    source = (ROOT / PYPROJECT["tool"]["hatch"]["version"]["path"]).read_text()
    assert source.count(f'__version__ = "{django_docraptor.__version__}"') == 1
    others = [
        path
        for path in PACKAGE.rglob("*.py")
        if re.search(r"^__version__\s*=", path.read_text(), re.M)
    ]
    assert others == [PACKAGE / "__init__.py"]


def test_installed_version_is_the_packages() -> None:
    """The metadata of the distribution has the package's version."""
    assert version("django-docraptor") == django_docraptor.__version__


def test_package_is_typed() -> None:
    """The package has a py.typed file, so that type checkers read its annotations."""
    assert (PACKAGE / "py.typed").is_file()


def test_required_dependencies_are_few() -> None:
    """The package requires these distributions and no others."""
    assert PYPROJECT["project"]["dependencies"] == [
        "django>=5.2",
        "requests>=2.32.4",
        "urllib3>=2.6.3",
    ]


def test_optional_dependencies_are_extras() -> None:
    """Distributions that only some projects need are extras."""
    assert set(PYPROJECT["project"]["optional-dependencies"]) == {
        "celery",
        "django-tasks",
        "passwords",
        "redis",
        "s3",
        "sandbox",
    }


def test_init_imports_only_the_standard_library() -> None:
    """Importing the package costs nothing and reads no settings: what it exports comes later."""
    lines = (PACKAGE / "__init__.py").read_text().splitlines()
    assert [line for line in lines if re.match(r"(import|from)\s", line)] == [
        "from importlib import import_module",
        "from typing import TYPE_CHECKING, Any",
    ]


def test_every_directory_with_code_is_a_package() -> None:
    """Each directory with code is a package, so that the wheel contains it."""
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []
