"""The page of a job in the admin: what is shown, to whom, and what never is."""

from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from django_docraptor.admin import inputs, jobs
from django_docraptor.models import Account, RenderEvent, RenderInput, RenderJob
from django_docraptor.states import ErrorCode, EventKind, State
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.admin_jobs import (
    CANCEL,
    ESCAPED,
    HOSTILE,
    LIST,
    RETRY,
    client_with,
    failed,
    make_job,
    page,
    text_of,
)

pytestmark = pytest.mark.django_db


# Permissions


def test_without_view_permission_nothing_is_to_be_seen() -> None:
    """Retrying alone shows no job, and cannot be done either."""
    job = failed()
    blind = client_with(RETRY, CANCEL)
    assert blind.get(LIST).status_code == 403
    assert blind.get(page(job)).status_code == 403
    assert blind.get(page(job, "retry")).status_code == 403


def test_nothing_to_edit() -> None:
    """Not even a superuser adds, changes or deletes a job or an account."""
    job = make_job(State.COMPLETED)
    account = Account.objects.create(name="default")
    root = Client()
    root.force_login(User.objects.create_superuser("root"))
    for address in (LIST, "/admin/django_docraptor/account/"):
        key = job.pk if address == LIST else account.pk
        assert root.get(f"{address}add/").status_code == 403
        assert root.post(f"{address}{key}/change/", {"name": "x"}).status_code == 403
        assert root.post(f"{address}{key}/delete/", {"post": "yes"}).status_code == 403
        assert "delete_selected" not in text_of(root, address)
    text = text_of(root, page(job))
    assert 'name="_save"' not in text
    assert "deletelink" not in text


def test_deleted_user_leaves_jobs() -> None:
    """Deleting an owner in the admin is not held up by jobs, which stay."""
    owner = User.objects.create_user("owner")
    job = make_job(order={"owner": owner})
    root = Client()
    root.force_login(User.objects.create_superuser("root"))
    root.post(f"/admin/auth/user/{owner.pk}/delete/", {"post": "yes"})
    assert RenderJob.objects.get(pk=job.pk).owner is None


# What is shown


def test_hostile_text_is_escaped(client: Client) -> None:
    """Names, errors, messages, options, content and sources are other people's text."""
    source = Group.objects.create(name=HOSTILE)
    order = {"name": HOSTILE, "content": HOSTILE, "source": source, "params": {"x": HOSTILE}}
    job = make_job(State.FAILED, order, errors=HOSTILE, message=HOSTILE, error_code=HOSTILE[:32])
    job.record_event(EventKind.STEP_FAILED, note=f"{HOSTILE}\n{HOSTILE}", detail={"body": HOSTILE})
    Account.pause("default", 60, HOSTILE)
    root = Client()
    root.force_login(User.objects.create_superuser(HOSTILE))
    for url in (LIST, page(job), page(job, "retry")):
        text = text_of(root, url)
        assert "<script>alert" not in text
        assert ESCAPED in text


def test_whole_error_is_shown(client: Client) -> None:
    """However long the errors are, their last line is there."""
    job = failed(errors="\n".join(f"line {number}" for number in range(5000)))
    text = text_of(client, page(job))
    assert "line 4999</pre>" in text
    assert "render_failed" in text


def test_secrets_are_not_shown(client: Client) -> None:
    """Neither the key, nor what leads to the file at DocRaptor, nor passwords in options."""
    options = {
        "prince_options": {
            "user_password": "hunter2",
            "http_password": "hunter3",
            "http_proxy": "http://hunter4",
            "baseurl": "https://hunter5:hunter6@shop.example/",
        },
        "vendor_token": "hunter7",
    }
    job = make_job(
        State.DOWNLOADING,
        {"options": options},
        lease_token="secret-lease",
        download_id="secret-download",
        reserved_name="secret-name",
    )
    for url in (LIST, page(job)):
        text = text_of(client, url)
        for secret in ("hunter", "secret-", "tests-key"):
            assert secret not in text
    assert "shop.example" in text_of(client, page(job))


def test_content_is_text_and_bounded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stored content is folded, escaped, and only its beginning."""
    monkeypatch.setattr(inputs, "MAX_CONTENT_SHOWN", 20)
    job = make_job(order={"content": "<b>beginning</b>" + "x" * 20 + "end"})
    text = text_of(client, page(job))
    assert "&lt;b&gt;beginning&lt;/b&gt;xxxx</pre>" in text
    assert "Only the beginning is shown." in text
    assert "<details open" not in text


def test_dropped_input(client: Client) -> None:
    """A job whose input was dropped still has its page."""
    job = make_job(State.COMPLETED)
    RenderInput.objects.all().delete()
    assert "The input is no longer stored." in text_of(client, page(job))


def test_input_is_for_readers(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A document's own rule hides its input from who may view jobs; what broke is told."""
    invoice = Invoice.objects.create(number="2025-canary")
    order = {"document": InvoicePDF.label, "content": "<p>canary</p>", "source": invoice}
    job = failed(order={**order, "params": {"x": "canary"}}, errors="what broke")
    assert "canary" in text_of(client, page(job))

    def only_ben(user: Any, job: RenderJob) -> bool:
        return job.source.number == user.username

    monkeypatch.setattr(InvoicePDF, "may_download", only_ben)
    text = text_of(client, page(job))
    assert "canary" not in text
    assert "Hidden: you do not have permission to read this document." in text
    assert "The input is no longer stored." not in text
    assert "what broke" in text


def test_a_rule_that_fails_hides(client: Client, caplog: Any) -> None:
    """The page of a job whose source is gone is there all the same; the log has the story."""
    job = failed(order={"document": InvoicePDF.label, "content": "<p>canary</p>"})
    with patch.object(InvoicePDF, "may_download", lambda user, job: job.source.number == "1"):
        text = text_of(client, page(job))
    assert "canary" not in text
    assert "Hidden: you do not have permission" in text
    assert "may_download() of its document failed" in caplog.text


def test_address_of_content(client: Client) -> None:
    """A document from an address shows the address, without the password in it."""
    job = make_job(order={"content": "", "url": "https://user:hunter2@shop.example/invoice"})
    text = text_of(client, page(job))
    assert "@shop.example/invoice" in text
    assert "hunter2" not in text


def test_history(client: Client) -> None:
    """Events stand in their order, with their states and foldable details."""
    job = make_job(State.WORKING, attempt=1)
    job.record_event(EventKind.ACCEPTED, from_state=State.SUBMITTING, detail={"status_id": "abc"})
    job.record_event(EventKind.STEP_FAILED, note="x" * 300)
    lines = client.get(page(job)).context["history"]
    assert [line.event for line in lines] == ["enqueued", "accepted", "step failed"]
    assert "submitting" in lines[1].transition
    assert "working" in lines[1].transition
    assert '"status_id": "abc"' in lines[1].details
    assert len(lines[2].summary) < 150
    assert lines[2].details == "x" * 300


def test_history_is_bounded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a very long history the last lines are shown."""
    monkeypatch.setattr(jobs, "MAX_HISTORY_LINES", 2)
    job = make_job()
    for kind in (EventKind.CALLBACK, EventKind.STEP_FAILED, EventKind.LATE_RESPONSE):
        job.record_event(kind)
    lines = client.get(page(job)).context["history"]
    assert [line.event for line in lines] == ["step failed", "late response"]


def test_download_only_if_completed(client: Client) -> None:
    """The link to the file is there once the file is."""
    done, busy = make_job(State.COMPLETED), make_job(State.DOWNLOADING)
    text = text_of(client, LIST)
    for job, expected in ((done, True), (busy, False)):
        link = reverse("django_docraptor:download", args=[job.pk])
        assert (link in text) == expected
        assert (link in text_of(client, page(job))) == expected


def test_result(client: Client) -> None:
    """The page tells the result once there is one, even if the file could not be kept."""
    assert "SHA-256" not in text_of(client, page(failed()))
    job = failed(ErrorCode.STORAGE_ERROR, number_of_pages=3, file_size=2048)
    text = text_of(client, page(job))
    assert "2.0\xa0KB" in text
    assert reverse("django_docraptor:download", args=[job.pk]) not in text


def test_unfinished_page_refreshes(client: Client) -> None:
    """The page of an unfinished job refreshes, less often with time, unless it is paused."""
    job = make_job(State.WORKING)
    tag = '<meta http-equiv="refresh" content="{}">'
    assert tag.format(5) in text_of(client, page(job))
    assert 'http-equiv="refresh"' not in text_of(client, f"{page(job)}?pause")
    RenderJob.objects.update(created_at=timezone.now() - timedelta(hours=1))
    assert tag.format(30) in text_of(client, page(job))
    assert 'http-equiv="refresh"' not in text_of(client, page(failed()))


def test_page_has_a_constant_number_of_queries(client: Client) -> None:
    """A long history costs no more queries than a short one."""
    job = make_job(State.WORKING)
    client.get(page(job))
    with CaptureQueriesContext(connection) as few:
        client.get(page(job))
    RenderEvent.objects.bulk_create(
        RenderEvent(job=job, kind=EventKind.CALLBACK, to_state=job.state) for _ in range(50)
    )
    with CaptureQueriesContext(connection) as many:
        client.get(page(job))
    assert len(many) == len(few) <= 10
