"""What a process of a project does not import before it needs it."""

import subprocess
import sys
from collections.abc import Sequence

import pytest

SCRIPT = """
import sys
from importlib import import_module
import django
from django.conf import settings
settings.configure(
    SECRET_KEY="startup",
    INSTALLED_APPS=[
        "django.contrib.auth", "django.contrib.contenttypes", "django_docraptor", *APPS],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
    DOCRAPTOR={"API_KEY": "startup"},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    **TASKS,
)
django.setup()
for name in sys.argv[1:]:
    import_module(name)
from django.core.management import call_command
call_command("check", verbosity=0)
AFTERWARDS
print(*sys.modules)
"""
# Only what is sent needs them, or a project that has chosen them.
NEVER = {
    "celery",
    "kombu",
    "requests",
    "urllib3",
    "weasyprint",
    "werkzeug",
    "storages",
    "django_tasks",
    "django_docraptor.tasks",
    "django_docraptor.django_tasks",
    "django_docraptor.client.calls",
    "django_docraptor.client.transport",
    "django_docraptor.sandbox",
    "django_docraptor.testing",
    "django_docraptor.views",
    "django_docraptor.admin",
    "django_docraptor.mail",
}
# Only a worker needs these.
STEPS = {
    "django_docraptor.client.parsing",
    "django_docraptor.health",
    "django_docraptor.lifecycle.accounts",
    "django_docraptor.lifecycle.engine",
    "django_docraptor.lifecycle.submission",
    "django_docraptor.preflight.inspection",
}
# Only the first document, its end or its deletion needs these.
FIRST_DOCUMENT = {
    "zipfile",
    "django_docraptor.billing",
    "django_docraptor.discarded_files",
    "django_docraptor.documents.delivery",
    "django_docraptor.documents.follow_ups",
    "django_docraptor.documents.renewal",
    "django_docraptor.documents.repetition",
    "django_docraptor.documents.undefined_variables",
    "django_docraptor.explanations",
    "django_docraptor.instrumentation.events",
    "django_docraptor.job_specs",
    "django_docraptor.payloads",
    "django_docraptor.preflight",
    "django_docraptor.responses",
    "django_docraptor.shortcuts",
    "django_docraptor.spool",
    "django_docraptor.stored_jobs",
    "django_docraptor.usage",
    "django_docraptor.wakeups",
}
# A project without document classes does not need these, either.
DOCUMENTS = {
    "django_docraptor.documents",
    "django_docraptor.documents.checks",
    "django_docraptor.documents.reports",
    "django_docraptor.keywords",
    "django_docraptor.lifecycle",
    "django_docraptor.registry",
}
# What a worker needs of document classes.
RENDERING = {
    f"django_docraptor.documents.{name}"
    for name in ("delivery", "hooks", "renewal", "undefined_variables")
}
DECLARED = """
from django_docraptor import Document
class InvoicePDF(Document[None]):
    template_name = "invoice.html"
    render = lambda self: ""
call_command("check", verbosity=0)
"""


def imported(
    *modules: str, apps: Sequence[str] = (), tasks: str = "{}", afterwards: str = ""
) -> set[str]:
    """Return the modules that ``manage.py check`` of a small project imports.

    Args:
        modules: what the project imports.
        apps: further apps.
        tasks: settings for django.tasks.
        afterwards: what is done after the check.
    """
    script = SCRIPT.replace("TASKS", tasks).replace("AFTERWARDS", afterwards)
    script = script.replace("APPS]", f"{list(apps)}]")
    done = subprocess.run(
        [sys.executable, "-c", script, *modules],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert not done.returncode, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("afterwards", "forbidden"),
    [("", NEVER | STEPS | FIRST_DOCUMENT | DOCUMENTS), (DECLARED, NEVER | STEPS | FIRST_DOCUMENT)],
    ids=["app", "documents"],
)
def test_startup_imports_only_what_is_needed(afterwards: str, forbidden: set[str]) -> None:
    """The HTTP library is imported with the first client, and the steps with the first one."""
    assert imported(afterwards=afterwards) & forbidden == set()


def test_client_is_imported_by_its_name() -> None:
    """The name of the setting CLIENT imports the HTTP library."""
    assert "requests" in imported("django_docraptor.documents", "django_docraptor.client.calls")


def test_celery_worker_imports_the_client_before_it_forks() -> None:
    """The processes of a worker share the memory of the HTTP library and of the engine."""
    assert not {"requests", *STEPS} & imported("django_docraptor.tasks")
    started = "from celery import signals; signals.worker_init.send(sender=None)"
    expected = {"requests", *STEPS} - {"django_docraptor.health"}
    found = imported("django_docraptor.tasks", afterwards=started)
    assert expected <= found
    assert not RENDERING & found
    assert expected | RENDERING <= imported("django_docraptor.tasks", afterwards=DECLARED + started)


def test_project_with_a_task_queue_imports_the_client() -> None:
    """A worker that forks for each message imports the HTTP library and the engine once."""
    backend = '{"TASKS": {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}}'
    expected = {"requests", *STEPS} - {"django_docraptor.health"}
    assert expected <= imported(tasks=backend, apps=["django_tasks_db"])
    backend = backend.replace("django_tasks_db.Database", "django_tasks.backends.dummy.Dummy")
    assert "requests" not in imported(tasks=backend)
