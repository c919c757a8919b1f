"""The plugin for pytest: it starts nothing by itself, and works in a project that knows nothing."""

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from django_docraptor import testing

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = "django_docraptor.pytest_plugin"
SETTINGS = """
SECRET_KEY = "tests"
INSTALLED_APPS = [
    "django.contrib.auth", "django.contrib.contenttypes", "django_docraptor", "bills",
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
ROOT_URLCONF = "urls"
"""
DOCUMENTS = """
from django.contrib.auth.models import Group
from django_docraptor import Document

class Bill(Document[Group]):
    model = Group
    template_name = "bill.html"

class Sheet(Document[Group]):
    model = Group
    template_name = "bill.html"
    document_type = "xlsx"
"""
TESTS = """
import sys
import pytest
from bills.documents import Bill, Sheet
from django.contrib.auth.models import Group

@pytest.mark.parametrize("number", range(6))
def test_bill(docraptor, number):
    group = Group.objects.create(name=f"£{number}5.00")
    Bill.enqueue(group)
    Sheet.enqueue(group)
    docraptor.render()
    docraptor.assert_rendered(Bill, source=group, contains=f"£{number}5.00", count=1)
    docraptor.assert_rendered(Sheet, count=1)

@pytest.mark.django_db(transaction=True)
def test_committed(docraptor):
    Bill.enqueue(Group.objects.create(name="committed"))
    (job,) = docraptor.render()
    assert job.state == "completed"

def test_no_extra_is_loaded():
    assert not {"werkzeug", "weasyprint", "xlsxwriter", "celery"} & {
        name.partition(".")[0] for name in sys.modules
    }
"""
URLS = """
from django.urls import include, path

urlpatterns = [path("docraptor/", include("django_docraptor.urls"))]
"""


def plugin_options() -> list[str]:
    """Return the options that load the plugin, unless the installed distribution names it."""
    names = {entry.name for entry in entry_points(group="pytest11")}
    return [] if "docraptor" in names else ["-p", PLUGIN]


def run(*command: str, folder: Path | None = None, **variables: str) -> str:
    """Run Python in a new process without this project's settings; return its output."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if "DJANGO" not in name and not name.startswith("PYTEST")
    }
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment | {"PYTHONPATH": f"{ROOT}:{folder or ''}"} | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_plugin_loads_nothing() -> None:
    """Pytest imports it at its start, in every project: neither Django nor the app is loaded."""
    code = f"import sys, {PLUGIN}; print(*sys.modules)"
    loaded = run("-c", code).split()
    assert not {"django", "requests", "pytest_django"} & {name.partition(".")[0] for name in loaded}
    ours = [name for name in loaded if name.startswith("django_docraptor")]
    assert sorted(ours) == ["django_docraptor", "django_docraptor.lazy_names", PLUGIN]


def test_entry_point_names_the_plugin() -> None:
    """The distribution tells pytest where it is."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"docraptor": PLUGIN}


def test_kit_needs_neither_pytest_nor_an_extra(tmp_path: Path) -> None:
    """With Django's test runner, the mixin works without pytest and the extra [sandbox]."""
    write_project(tmp_path)
    (tmp_path / "bills" / "tests.py").write_text(
        "import sys\n"
        "for name in ('pytest', 'werkzeug', 'xlsxwriter', 'weasyprint'):\n"
        "    sys.modules[name] = None\n"
        "from bills.documents import Bill, Sheet\n"
        "from django.contrib.auth.models import Group\n"
        "from django.test import TestCase\n"
        "from django_docraptor.testing import DocRaptorTestMixin\n"
        "class BillTests(DocRaptorTestMixin, TestCase):\n"
        "    def test_bill(self):\n"
        "        group = Group.objects.create(name='£45.00')\n"
        "        Bill.enqueue(group), Sheet.enqueue(group)\n"
        "        self.docraptor.render()\n"
        "        self.docraptor.assert_rendered(source=group, contains='£45.00', count=2)\n"
    )
    run("-m", "django", "test", "--settings", "project_settings", folder=tmp_path)


@pytest.mark.once
def test_fixture_in_another_project(tmp_path: Path) -> None:
    """A project without any setting of ours uses the fixture, in two processes of xdist."""
    write_project(tmp_path)
    (tmp_path / "test_bills.py").write_text(TESTS)
    options = [*plugin_options(), "-p", "no:cacheprovider", "-p", "no:randomly", "-n", "2"]
    settings = {"DJANGO_SETTINGS_MODULE": "project_settings"}
    printed = run("-m", "pytest", "-q", *options, "--rootdir=.", folder=tmp_path, **settings)
    assert "8 passed" in printed


def test_plugin_without_django(tmp_path: Path) -> None:
    """A project without Django, and without pytest-django, is not disturbed."""
    (tmp_path / "test_plain.py").write_text(
        "import sys\ndef test_plain():\n    assert 'django' not in sys.modules\n"
    )
    options = [*plugin_options(), "-p", "no:cacheprovider", "-p", "no:django", "--strict-markers"]
    printed = run("-m", "pytest", "-q", *options, "--rootdir=.", folder=tmp_path)
    assert "1 passed" in printed


def write_project(folder: Path) -> None:
    """Write a project with two documents of one model."""
    templates = folder / "bills" / "templates"
    templates.mkdir(parents=True)
    (folder / "project_settings.py").write_text(SETTINGS)
    (folder / "urls.py").write_text(URLS)
    (folder / "bills" / "__init__.py").touch()
    (folder / "bills" / "documents.py").write_text(DOCUMENTS)
    (templates / "bill.html").write_text("<p>Please pay {{ source.name }}</p>")


@pytest.mark.parametrize("name", ["InMemoryDocRaptor", "SentDocument"])
def test_reference_lists_the_members(name: str) -> None:
    """The tables of the reference have every public member of a class, and nothing else."""
    text = (ROOT / "docs" / "reference" / "testing.md").read_text()
    section = text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE)
    listed = {member for cell in cells for member in re.findall(r"`(\w+)", cell)}
    members = {member for member in dir(getattr(testing, name)) if not member.startswith("_")}
    assert members - INTERNAL == listed


# Of the service in memory.
INTERNAL = {"asynchronous", "is_asked_for", "is_expired", "job_id"}


def test_reference_lists_the_names() -> None:
    """The first table of the reference has every name of the module."""
    text = (ROOT / "docs" / "reference" / "testing.md").read_text().partition("\n## ")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == sorted(testing.__all__)
