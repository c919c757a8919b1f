"""The distribution: one version, type information, few dependencies."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

import django_docraptor

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
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
        "health-check",
        "merge",
        "opentelemetry",
        "passwords",
        "prometheus",
        "redis",
        "s3",
        "sandbox",
    }


def test_classifiers_are_what_is_tested() -> None:
    """Python's versions are those of `make matrix`, and Django's those that the pins install."""
    classifiers = PYPROJECT["project"]["classifiers"]
    pythons = [name.removeprefix("py") for name in PYPROJECT["tool"]["tox"]["env_list"]]
    assert [
        line.rpartition(" ")[2].replace(".", "")
        for line in classifiers
        if re.search(r"Python :: 3\.\d+$", line)
    ] == pythons
    pins = re.findall(r"^django==(\d+\.\d+)", (ROOT / "constraints.txt").read_text(), re.M)
    prefix = "Framework :: Django :: "
    assert [line.removeprefix(prefix) for line in classifiers if line.startswith(prefix)] == pins


def test_build_requirements_are_the_groups() -> None:
    """`make package` builds without an environment of its own, with what the build requires."""
    assert set(PYPROJECT["build-system"]["requires"]) < set(
        PYPROJECT["dependency-groups"]["package"]
    )


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_workflows_have_limits(file: Path) -> None:
    """Each workflow is valid YAML; each job has a time limit, and may only read the code."""
    workflow = yaml.safe_load(file.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 60
        assert all("run" in step or "uses" in step for step in job["steps"])


def test_release_needs_no_password() -> None:
    """The registry trusts the workflow: only the job that uploads may ask for a token."""
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text()
    jobs = yaml.safe_load(text)["jobs"]
    assert "secrets." not in text
    assert {name: job.get("permissions") for name, job in jobs.items()} == {
        "build": None,
        "publish": {"id-token": "write"},
    }
    assert jobs["publish"]["needs"] == "build"
    assert [step["uses"].partition("@")[0] for step in jobs["publish"]["steps"]] == [
        "actions/download-artifact",
        "pypa/gh-action-pypi-publish",
    ]


def test_init_imports_only_what_imports_later() -> None:
    """Importing the package costs nothing and reads no settings: what it exports comes later."""
    lines = (PACKAGE / "__init__.py").read_text().splitlines()
    assert [line for line in lines if re.match(r"(import|from)\s", line)] == [
        "from typing import TYPE_CHECKING",
        "from django_docraptor.lazy_names import import_on_use",
    ]
    lines = (PACKAGE / "lazy_names.py").read_text().splitlines()
    assert [line for line in lines if re.match(r"(import|from)\s", line)] == [
        "import sys",
        "from collections.abc import Callable, Mapping, Sequence",
        "from importlib import import_module",
        "from typing import Any",
    ]


def test_every_directory_with_code_is_a_package() -> None:
    """Each directory with code is a package, so that the wheel contains it."""
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []
