"""Secrets do not leak: canaries are searched in all output, after every kind of failure."""

import base64
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from celery.signals import before_task_publish
from django.contrib.auth.models import User
from django.test import RequestFactory
from django.urls import reverse
from django.views.debug import ExceptionReporter

import django_docraptor
from django_docraptor import checks, lifecycle, shortcuts, wakeups
from django_docraptor.callback_urls import make_token
from django_docraptor.client.failures import FailedResponse
from django_docraptor.exceptions import ConfigurationError
from django_docraptor.hosted import HostedDocument
from django_docraptor.lifecycle import clients
from django_docraptor.lifecycle.clients import client_for
from django_docraptor.models import Account, Heartbeat, Pause, RenderEvent, RenderJob
from django_docraptor.payloads import DocumentRequest
from django_docraptor.runners import Step
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import FINAL_STATES, State
from tests.support.jobs import enqueue, run_until_finished

pytestmark = pytest.mark.django_db(transaction=True)

KEY = "canary-key-4711"
HTML = "<p>canary-html-4712</p>"
FAILURES = [
    None,
    Fault(
        on="create", action="status", status_code=422, reason=f"The key {KEY} is fine, the HTML not"
    ),
    Fault(on="create", action="status", status_code=401, reason=f"Bad key {KEY}", times=1),
    Fault(
        on="create",
        action="status",
        status_code=403,
        body="json",
        reason=f"{KEY} too busy",
        times=2,
    ),
    Fault(
        on="create", action="status", status_code=502, body="html", reason=KEY, accept=True, times=1
    ),
    Fault(on="create", action="reset", accept=True, times=1),
    Fault(on="create", action="cut", mode="close", times=1),
    Fault(on="create", action="redirect", location=f"http://127.0.0.1:9/{KEY}"),
    Fault(on="render", action="fail", reason=f"Over limit for {KEY}"),
    Fault(on="status", action="status", status_code=500, reason=KEY, times=2),
    Fault(on="status", action="html", times=1),
    Fault(on="status", action="reset", times=1),
    Fault(on="download", action="status", status_code=400, reason=KEY),
    Fault(on="download", action="status", status_code=200, reason=f"Bad key {KEY}"),
    Fault(on="download", action="cut", mode="length"),
    Fault(on="download", action="html"),
    Fault(on="download", action="hang", seconds=3, times=1),
    Fault(on="logs", action="status", status_code=500, reason=KEY, times=1),
]


@pytest.fixture
def broker_messages():
    """Every message that is published to the broker."""
    published: list[Any] = []

    def keep(body: Any = None, headers: Any = None, **kwargs: Any) -> None:
        published.append((body, headers))

    before_task_publish.connect(keep)
    yield published
    before_task_publish.disconnect(keep)


def run_with_fault(sandbox: Sandbox, fault: Fault | None) -> RenderJob:
    """Run one job to its end with one kind of failure."""
    sandbox.clear_faults()
    if fault:
        sandbox.add_fault(fault)
    settled = {*FINAL_STATES, State.UNCONFIRMED, State.DOWNLOADING}
    job = enqueue(content=HTML, test=False)
    job = run_until_finished(job, until=lambda job: job.state in settled)
    job = run_until_finished(job, hours=2)
    Account.objects.update(circuit_open_until=None, failures=0)
    Pause.objects.all().delete()
    return job


def logged_text(caplog: pytest.LogCaptureFixture) -> str:
    """Return all log lines except the sandbox's, which plays DocRaptor."""
    ours = (record for record in caplog.records if "sandbox" not in record.name)
    return "\n".join(f"{record.getMessage()} {record.exc_text or ''}" for record in ours)


def dump_rows() -> str:
    """Return every column of every row, except inputs, which are meant to hold the content."""
    tables = (RenderJob, RenderEvent, Account, Pause, Heartbeat)
    return json.dumps([list(table.objects.values()) for table in tables], default=str)


@pytest.mark.fault("X7")
@pytest.mark.usefixtures("short_timeouts")
def test_no_secret_is_written_anywhere(
    sandbox, documents_dir, settings, caplog, broker_messages, client
) -> None:
    """Logs at DEBUG, rows, messages, admin pages and errors contain no secret."""
    caplog.set_level(logging.DEBUG)
    sandbox.change_settings(api_key=KEY)
    settings.DOCRAPTOR = settings.DOCRAPTOR | {
        "API_KEY": KEY,
        "CALLBACK_BASE_URL": "http://127.0.0.1:9",
        "RUNNER": "celery",
        "DEFAULTS": {"prince_options": {"http_password": "canary-password"}},
    }
    jobs = [run_with_fault(sandbox, fault) for fault in FAILURES]
    assert {job.state for job in jobs} <= set(FINAL_STATES)
    assert len({job.error_code for job in jobs}) > 5
    tokens = [make_token(job.pk, job.attempt) for job in jobs]
    for token in tokens:
        assert client.post(reverse("django_docraptor:callback", args=[token])).status_code == 204
    assert wakeups.notify(Step.DISPATCH)
    client.force_login(User.objects.create_superuser("admin"))
    pages = [client.get(reverse("admin:django_docraptor_renderjob_changelist"))]
    for job in jobs:
        url = reverse("admin:django_docraptor_renderjob_change", args=[job.pk])
        pages.append(client.get(url))
    assert {page.status_code for page in pages} == {200}

    download_ids = [job.download_id for job in jobs if job.download_id]
    assert download_ids
    told = {
        "logs": logged_text(caplog),
        "messages": repr(broker_messages),
        "pages": "".join(page.content.decode() for page in pages),
        "rows": dump_rows(),
    }
    assert broker_messages
    signatures = [token.rpartition(".")[2] for token in tokens]
    for place, text in told.items():
        secret = [KEY, *signatures, HTML]
        secret += [] if place == "rows" else download_ids
        secret += [] if place == "pages" else ["canary-html"]
        secret += ["canary-password"]
        found = [canary for canary in secret if canary in text]
        assert not found, f"{place}: {found}"


@pytest.mark.fault("X7")
def test_log_of_a_503_has_no_callback_token(sandbox, client, caplog, settings) -> None:
    """A 503 response is logged without the URL, which contains the token."""
    from django.db import OperationalError, connection

    job = enqueue()
    lifecycle.submit()
    token = make_token(job.pk, 1)

    def down(execute, sql, params, many, context):
        raise OperationalError("down")

    with connection.execute_wrapper(down):
        answer = client.post(reverse("django_docraptor:callback", args=[token]))
    assert answer.status_code == 503
    assert "could not be recorded" in caplog.text
    assert token not in caplog.text


@pytest.mark.fault("X7")
@pytest.mark.parametrize("method", ["get", "head", "put", "options"])
def test_log_of_other_methods_has_no_callback_token(sandbox, client, caplog, method) -> None:
    """A request with another method writes no token to the log."""
    caplog.set_level(logging.DEBUG)
    token = make_token(enqueue().pk, 1)
    answer = getattr(client, method)(reverse("django_docraptor:callback", args=[token]))
    assert answer.status_code == 405
    assert token not in caplog.text


@pytest.mark.fault("X7")
def test_events_have_no_download_id(sandbox, documents_dir) -> None:
    """The history contains nothing with which the document could be downloaded from DocRaptor."""
    job = run_until_finished(enqueue())
    story = json.dumps(list(job.events.values("message", "detail")))
    assert job.download_id
    assert job.download_id not in story


@pytest.mark.fault("X7")
def test_client_repr_hides_the_key(settings) -> None:
    """The client's repr, which a traceback may show, does not contain the API key."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"API_KEY": KEY}
    assert KEY not in repr(client_for("default"))


@pytest.mark.fault("X7")
@pytest.mark.parametrize(
    "value",
    [
        shortcuts.JobSpec(
            name="a.pdf",
            content="canary",
            url="https://user:canary@shop.example/",
            options={"prince_options": {"user_password": "canary"}},
            params={"iban": "canary"},
        ),
        HostedDocument(
            name="a.pdf",
            public_url="https://docraptor.test/canary",
            download_id="canary",
            account="default",
            number_of_pages=1,
        ),
        FailedResponse(status=422, headers={"Location": "canary"}, body=b"canary"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_reprs_hide_secrets(value: object) -> None:
    """Values in an error report show no content, password or URL."""
    assert "canary" not in repr(value)


def test_content_is_stored_in_inputs_only(sandbox, documents_dir) -> None:
    """The content is stored in one table, which can be emptied."""
    shortcuts.enqueue(name="a.pdf", content=HTML)
    assert "canary-html" not in dump_rows()


class BrokenClient:
    """A client class that cannot be made."""

    def __init__(self, **options: Any) -> None:
        del options
        raise RuntimeError("broken")


def forms_of_key() -> list[str]:
    """Return the key, as it is and as it is sent."""
    return [KEY, base64.b64encode(f"{KEY}:".encode()).decode().rstrip("=")]


def reports(rf: RequestFactory) -> str:
    """Return Django's reports of the current exception, which show local variables."""
    reporter = ExceptionReporter(rf.get("/"), *sys.exc_info())
    return reporter.get_traceback_html() + reporter.get_traceback_text()


def test_error_reports_do_not_have_the_key(settings, rf) -> None:
    """Django's report of an error shows local variables, but not the key."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {
        "API_KEY": KEY,
        "CLIENT": f"{__name__}.BrokenClient",
    }
    settings.DEBUG = False
    try:
        client_for("default")
    except ConfigurationError:
        report = reports(rf)
    assert "BrokenClient" in report
    assert KEY not in report


@contextmanager
def watched_variables(*functions: str) -> Iterator[set[str]]:
    """Watch, at each line of the package, for variables whose repr has the key.

    A traceback of an error at that line would show them. These functions must have been called.
    """
    shown: set[str] = set()
    watched: set[str] = set()
    package = str(Path(django_docraptor.__file__).parent)

    def watch(frame: FrameType, event: str, arg: Any) -> Any:
        file, function = frame.f_code.co_filename, frame.f_code.co_name
        if not file.startswith(package) or "sandbox" in file or is_forgotten(frame):
            return None
        watched.add(function)
        for name, value in list(frame.f_locals.items()):
            if any(form in _repr(value) for form in forms_of_key()):
                shown.add(f"{Path(file).name}:{frame.f_lineno} {function}: {name}")
        return watch

    before = sys.gettrace()
    sys.settrace(watch)
    try:
        yield shown
    finally:
        sys.settrace(before)
    assert {"user_settings", *functions} <= watched


def is_forgotten(frame: FrameType) -> bool:
    """Return whether no traceback has the frame: `without_frames`, or nothing in it can raise."""
    outer: FrameType | None = frame
    names = []
    while outer is not None:
        names.append(outer.f_code.co_name)
        outer = outer.f_back
    return names[0] == "hide" or "_send_with_key" in names[1:]


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - an object that is not yet complete
        return ""


class Accounts:
    """A provider of accounts."""

    def names(self) -> list[str]:
        """Return their names."""
        return ["default"]

    def get(self, name: str) -> dict[str, Any]:
        """Return the settings of each."""
        return {"API_KEY": KEY}


@pytest.mark.fault("X7")
@pytest.mark.parametrize("is_accepted", [True, False], ids=["accepted", "rejected"])
@pytest.mark.parametrize(
    "own",
    [
        {"API_KEY": f"{KEY}\n"},
        {"API_KEY": [f"{KEY}\n", "another"]},
        {"API_KEY": lambda account: f"{KEY}\n"},
        {"ACCOUNTS": {"default": {"API_KEY": f"{KEY}\n"}, "acme": {"API_KEY": [KEY, "old"]}}},
        {"ACCOUNTS": Accounts},
    ],
    ids=["string", "list", "callable", "accounts", "provider"],
)
def test_no_frame_has_the_key_in_a_variable(
    sandbox, settings, documents_dir, own, is_accepted
) -> None:
    """Wherever an error occurs, an error reporter that shows variables does not show the key."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | own
    sandbox.change_settings(api_key=KEY if is_accepted else "another")
    clients._build_client.cache_clear()
    job = enqueue()
    with watched_variables("get_api_keys", "_build_client", "__init__", "for_key") as shown:
        lifecycle.submit()
        checks.check_settings(None)
    job.refresh_from_db()
    assert job.state == (State.QUEUED if is_accepted else State.PENDING)
    assert shown == set()


@pytest.mark.django_db
def test_no_frame_has_the_health_token_in_a_variable(settings, client) -> None:
    """Nor does one show the token of the health view, which is checked in the same way."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"HEALTH_TOKEN": KEY, "API_KEY": "another"}
    with watched_variables("health") as shown:
        assert client.get(reverse("django_docraptor:health")).status_code == 404
        checks.check_settings(None)
    assert shown == set()


class StoppedError(BaseException):
    """What a queue raises anywhere in a task whose time is over."""


@pytest.mark.fault("X7")
def test_a_task_stopped_in_a_call_does_not_report_the_key(sandbox, settings, rf) -> None:
    """The frames of HTTP libraries have the key in their variables: they are not reported."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"API_KEY": KEY}
    request = DocumentRequest(name="a.pdf", content=HTML)

    def stop(frame: FrameType, event: str, arg: Any) -> Any:
        if frame.f_code.co_name == "getresponse" and "client.py" in frame.f_code.co_filename:
            raise StoppedError
        return None

    client, before = client_for("default"), sys.gettrace()
    sys.settrace(stop)
    try:
        client.create_async_doc(request)
    except StoppedError:
        sys.settrace(before)
        report = reports(rf)
    finally:
        sys.settrace(before)
    assert "_request" in report
    assert not [form for form in forms_of_key() if form in report]
