"""The test of a project that has installed no extra, run by `manage.py test`."""

import importlib
import pkgutil
from pathlib import Path

from django.test import TestCase

import django_docraptor
from django_docraptor.testing import DocRaptorTestMixin

# What may be missing, and the module that says which extra has it.
EXTRAS = {"celery", "django_tasks", "openpyxl", "pypdf", "pytest", "weasyprint", "werkzeug"}
EXTRAS |= {"xlsxwriter", "health_check", "opentelemetry", "prometheus_client"}


class WithoutExtrasTests(DocRaptorTestMixin, TestCase):
    """The package's required dependencies are enough."""

    def test_document_is_rendered(self) -> None:
        """The engine submits, polls, downloads and stores."""
        job = django_docraptor.enqueue(name="hello.pdf", content="<h1>Hello</h1>")
        self.docraptor.render()
        self.docraptor.assert_rendered(contains="Hello", count=1)
        job.refresh_from_db()
        assert job.state == "completed"

    def test_modules_need_no_more_than_extras(self) -> None:
        """Each module can be imported, or says which package of an extra is missing."""
        missing = set()
        for module in pkgutil.walk_packages(django_docraptor.__path__, "django_docraptor."):
            if module.name.endswith("__main__"):
                continue
            try:
                importlib.import_module(module.name)
            except ModuleNotFoundError as error:
                missing.add(error.name)
        assert missing <= EXTRAS
        assert "werkzeug" in missing

    def test_package_is_the_installed_one(self) -> None:
        """It is in site-packages, with its templates and styles, and not in a clone."""
        folder = Path(django_docraptor.__file__).parent
        assert folder.parent.name == "site-packages"
        assert (folder / "templates/django_docraptor/status.html").is_file()
        assert (folder / "static/django_docraptor/admin.css").is_file()
