"""A project with the package's required dependencies only: neither Celery nor django-storages."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import django_docraptor
from django_docraptor.sandbox import Sandbox

SETTINGS = """
from pathlib import Path
from shop.base import *

BASE_DIR = Path(__file__).parent.parent
INSTALLED_APPS += ["django_docraptor"]
DOCRAPTOR = {{"API_KEY": "sandbox-key", "BASE_URL": "{url}", "SPOOL_DIR": BASE_DIR / "spool"}}
FILES = "django.core.files.storage.FileSystemStorage"
STORAGES = {{
    "default": {{"BACKEND": FILES}},
    "staticfiles": {{"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}},
    "docraptor": {{"BACKEND": FILES, "OPTIONS": {{"location": BASE_DIR / "documents"}}}},
}}
DATABASES["default"]["OPTIONS"] = {{"transaction_mode": "IMMEDIATE", "timeout": 20}}
"""
URLS = """
from django.urls import include, path

urlpatterns = [path("docraptor/", include("django_docraptor.urls"))]
"""
STORY = """
import django_docraptor
from django.core.management import call_command

job = django_docraptor.enqueue(name="hello.pdf", content="<h1>Hello</h1>")
call_command("docraptor_tick", until_idle=True, interval=0.1, timeout=30)
job.refresh_from_db()
print(job.state, job.file.size == job.file_size, job.error_code)
"""


def required(name: str, seen: dict[str, Distribution] | None = None) -> dict[str, Distribution]:
    """Return a distribution and all that it requires without extras, by name."""
    seen = {} if seen is None else seen
    if name not in seen:
        seen[name] = distribution(name)
        for line in seen[name].requires or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                required(re.sub(r"[-_.]+", "-", requirement.name).lower(), seen)
    return seen


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A directory with the package and what it requires, and nothing else."""
    directory = tmp_path / "packages"
    directory.mkdir()
    (directory / "django_docraptor").symlink_to(Path(django_docraptor.__file__).parent)
    for name, found in required("django-docraptor").items():
        if name == "django-docraptor":
            continue
        tops = {file.parts[0] for file in found.files or [] if file.parts[0] != ".."}
        for top in tops:
            if not (directory / top).exists():
                (directory / top).symlink_to(Path(str(found.locate_file(top))))
    return directory


@pytest.fixture
def sandbox_url() -> Iterator[str]:
    """The URL of a sandbox in this process."""
    with Sandbox(renderer="canned") as sandbox:
        yield sandbox.url


def test_project_without_celery_and_storages_generates_a_document(
    packages: Path, sandbox_url: str, tmp_path: Path
) -> None:
    """The app imports, migrates, checks and runs with its required dependencies alone."""
    project = tmp_path / "project"
    project.mkdir()

    def python(*arguments: str, stdin: str = "") -> str:
        # -S: without this environment's site-packages.
        done = subprocess.run(
            [sys.executable, "-S", *arguments],
            cwd=project,
            env={
                **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
                "PYTHONPATH": str(packages),
                "DJANGO_SETTINGS_MODULE": "shop.settings",
            },
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert not done.returncode, done.stdout
        return done.stdout

    absent = "import importlib.util as u; print([u.find_spec(n) for n in ('celery', 'storages')])"
    assert python("-c", absent).strip() == "[None, None]"
    python("-m", "django", "startproject", "shop", ".", "--settings", "django.conf.global_settings")
    (project / "shop" / "settings.py").rename(project / "shop" / "base.py")
    (project / "shop" / "settings.py").write_text(SETTINGS.format(url=sandbox_url))
    (project / "shop" / "urls.py").write_text(URLS)
    assert "django_docraptor" in python("manage.py", "migrate")
    assert "django_docraptor.W002" in python("manage.py", "check")  # the only message
    assert "identified 1 issue" in python("manage.py", "check")
    last_line = python("manage.py", "shell", stdin=STORY).splitlines()[-1]
    assert last_line == "completed True "
