"""`manage.py docraptor_check` prints a line for each thing, and fails if one of them does."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from django_docraptor.models import Heartbeat, heartbeat
from django_docraptor.sandbox import Sandbox
from tests.support.socket_server import unused_port

pytestmark = pytest.mark.django_db(transaction=True)


def check(*arguments: str) -> tuple[str, int]:
    """Run the command; return its output and exit status."""
    out = StringIO()
    try:
        call_command("docraptor_check", *arguments, stdout=out, no_color=True)
    except SystemExit as stop:
        return out.getvalue(), int(stop.code or 0)
    return out.getvalue(), 0


@pytest.fixture
def good_site(sandbox: Sandbox, documents_dir, monkeypatch) -> None:
    """A site at which nothing is wrong: the tick was just seen."""
    monkeypatch.setattr(heartbeat, "_last_recorded", {})
    Heartbeat.record("ticked_at")


@pytest.mark.usefixtures("good_site")
def test_good_site_succeeds() -> None:
    """One line per thing, in columns, and the exit status is 0."""
    text, code = check()
    assert code == 0
    names = [line[6:21].strip() for line in text.splitlines()]
    assert names[:8] == [
        *("settings", "database", "migrations", "isolation", "character set", "time zone"),
        *("clock", "base url"),
    ]
    assert {line[:6] for line in text.splitlines()} <= {"ok    ", "warn  "}


@pytest.mark.usefixtures("good_site")
def test_failure_fails_the_command_and_tells_the_rest(settings: Any) -> None:
    """What needs the thing that fails is not checked, and everything else is."""
    url = f"http://127.0.0.1:{unused_port()}"
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"BASE_URL": url}
    text, code = check()
    assert code == 1
    lines = text.splitlines()
    assert any(
        line.startswith("fail  base url") and "Is the sandbox running?" in line for line in lines
    )
    assert any(line.startswith("warn  api key         Not checked") for line in lines)
    assert any(line.startswith("ok    storage") for line in lines)


@pytest.mark.usefixtures("good_site")
def test_error_of_a_system_check_is_one_of_the_lines(settings: Any) -> None:
    """Django would end any other command before it begins."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"TIMEOUT": {"total": 10_000}}
    text, code = check()
    assert code == 1
    assert "fail  settings        E025: " in text


@pytest.mark.usefixtures("good_site")
def test_live_makes_a_test_document(sandbox: Sandbox) -> None:
    """Only when it is asked for."""
    check()
    assert sandbox.ledger.accepted() == []
    text, _code = check("--live")
    assert "ok    live            A test document of " in text
    assert [document.test for document in sandbox.ledger.accepted()] == [True]


@pytest.mark.usefixtures("good_site")
def test_json_has_results_and_versions() -> None:
    """It is what a report of a fault needs."""
    text, code = check("--json")
    report = json.loads(text)
    assert (report["status"], code) == ("ok", 0)
    assert set(report["environment"]) == {
        *("django_docraptor", "python", "platform", "django", "database", "runner", "packages")
    }
    assert report["results"][0] == {
        "name": "settings",
        "status": "ok",
        "message": "The system checks of django_docraptor find nothing.",
        "remedy": "",
    }


@pytest.mark.usefixtures("good_site")
def test_json_has_no_secret(settings: Any, monkeypatch) -> None:
    """Neither keys and passwords of the settings, nor what an error repeats of them."""
    port = unused_port()
    settings.SECRET_KEY = "s3cr3t-of-the-site"
    settings.DOCRAPTOR = settings.DOCRAPTOR | {
        "API_KEY": "s3cr3t-key",
        "BASE_URL": f"http://u:s3cr3t-base@127.0.0.1:{port}",
        "CALLBACK_BASE_URL": f"http://u:s3cr3t-callback@127.0.0.1:{port}",
        "PROXIES": {"ftp": "http://u:s3cr3t-proxy@proxy:3128"},
    }
    settings.STORAGES = settings.STORAGES | {
        "docraptor": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": "/dev/null/s3cr3t-directory", "secret_key": "s3cr3t-directory"},
        }
    }
    text, code = check("--json")
    assert (code, "s3cr3t" in text) == (1, False)
