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

from django_docraptor.admin import inputs, job_page
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
    VIEW,
    create_admin_job,
    failed_job,
    get_text,
    job_url,
    staff_client,
)
from tests.support.jobs import pause_account

pytestmark = pytest.mark.django_db


# Permissions


def test_jobs_need_the_view_permission() -> None:
    """The permission to retry alone shows no job and allows no retry."""
    job = failed_job()
    blind = staff_client(RETRY, CANCEL)
    assert blind.get(LIST).status_code == 403
    assert blind.get(job_url(job)).status_code == 403
    assert blind.get(job_url(job, "retry")).status_code == 403


def test_list_links_to_the_previews() -> None:
    """Those who may see previews find them."""
    link = reverse("django_docraptor:previews")
    assert link in get_text(staff_client(VIEW, "preview_documents"), LIST)
    assert link not in get_text(staff_client(VIEW), LIST)


def test_jobs_and_accounts_are_read_only() -> None:
    """Not even a superuser can add, change or delete a job or an account."""
    job = create_admin_job(State.COMPLETED)
    account = Account.objects.create(name="default")
    root = Client()
    root.force_login(User.objects.create_superuser("root"))
    for address in (LIST, "/admin/django_docraptor/account/"):
        key = job.pk if address == LIST else account.pk
        assert root.get(f"{address}add/").status_code == 403
        assert root.post(f"{address}{key}/change/", {"name": "x"}).status_code == 403
        assert root.post(f"{address}{key}/delete/", {"post": "yes"}).status_code == 403
        assert "delete_selected" not in get_text(root, address)
    text = get_text(root, job_url(job))
    assert 'name="_save"' not in text
    assert "deletelink" not in text


def test_deleting_an_owner_keeps_the_jobs() -> None:
    """An owner with jobs can be deleted in the admin, and the jobs are kept."""
    owner = User.objects.create_user("owner")
    job = create_admin_job(options={"owner": owner})
    root = Client()
    root.force_login(User.objects.create_superuser("root"))
    root.post(f"/admin/auth/user/{owner.pk}/delete/", {"post": "yes"})
    assert RenderJob.objects.get(pk=job.pk).owner is None


# Content


def test_hostile_text_is_escaped(client: Client) -> None:
    """Names, errors, messages, options, content and sources are escaped."""
    source = Group.objects.create(name=HOSTILE)
    options = {"name": HOSTILE, "content": HOSTILE, "source": source, "params": {"x": HOSTILE}}
    job = create_admin_job(
        State.FAILED, options, errors=HOSTILE, message=HOSTILE, error_code=HOSTILE[:32]
    )
    job.record_event(EventKind.STEP_FAILED, note=f"{HOSTILE}\n{HOSTILE}", detail={"body": HOSTILE})
    pause_account("default", HOSTILE)
    root = Client()
    root.force_login(User.objects.create_superuser(HOSTILE))
    for url in (LIST, job_url(job), job_url(job, "retry")):
        text = get_text(root, url)
        assert "<script>alert" not in text
        assert ESCAPED in text


def test_whole_error_is_shown(client: Client) -> None:
    """A long error is shown to its last line."""
    job = failed_job(errors="\n".join(f"line {number}" for number in range(5000)))
    text = get_text(client, job_url(job))
    assert "line 4999</pre>" in text
    assert "render_failed" in text


def test_secrets_are_not_shown(client: Client) -> None:
    """The lease, the download ID, the reserved name and passwords in options are not shown."""
    options = {
        "prince_options": {
            "user_password": "hunter2",
            "http_password": "hunter3",
            "http_proxy": "http://hunter4",
            "baseurl": "https://hunter5:hunter6@shop.example/",
        },
        "vendor_token": "hunter7",
    }
    job = create_admin_job(
        State.DOWNLOADING,
        {"options": options},
        lease_token="secret-lease",
        download_id="secret-download",
        reserved_name="secret-name",
    )
    for url in (LIST, job_url(job)):
        text = get_text(client, url)
        for secret in ("hunter", "secret-", "tests-key"):
            assert secret not in text
    assert "shop.example" in get_text(client, job_url(job))


def test_content_is_escaped_and_cut(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stored content is collapsed, escaped, and cut after its beginning."""
    monkeypatch.setattr(inputs, "MAX_CONTENT_SHOWN", 20)
    job = create_admin_job(options={"content": "<b>beginning</b>" + "x" * 20 + "end"})
    text = get_text(client, job_url(job))
    assert "&lt;b&gt;beginning&lt;/b&gt;xxxx</pre>" in text
    assert "Only the beginning is shown." in text
    assert "<details open" not in text


def test_job_without_input_has_a_page(client: Client) -> None:
    """A job whose input was deleted still has its page."""
    job = create_admin_job(State.COMPLETED)
    RenderInput.objects.all().delete()
    assert "The input is no longer stored." in get_text(client, job_url(job))


def test_input_follows_the_documents_rule(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The document's rule hides the input even from users who may view jobs; the error is shown."""
    invoice = Invoice.objects.create(number="2025-canary")
    options = {"document": InvoicePDF.label, "content": "<p>canary</p>", "source": invoice}
    job = failed_job(options={**options, "params": {"x": "canary"}}, errors="what broke")
    assert "canary" in get_text(client, job_url(job))

    def only_ben(user: Any, job: RenderJob) -> bool:
        return job.source.number == user.username

    monkeypatch.setattr(InvoicePDF, "may_download", only_ben)
    text = get_text(client, job_url(job))
    assert "canary" not in text
    assert "Hidden: you do not have permission to read this document." in text
    assert "The input is no longer stored." not in text
    assert "what broke" in text


def test_failing_rule_hides_the_input(client: Client, caplog: Any) -> None:
    """If the rule raises, the page is shown without the input, and the error is logged."""
    job = failed_job(options={"document": InvoicePDF.label, "content": "<p>canary</p>"})
    with patch.object(InvoicePDF, "may_download", lambda user, job: job.source.number == "1"):
        text = get_text(client, job_url(job))
    assert "canary" not in text
    assert "Hidden: you do not have permission" in text
    assert "may_download() of its document failed" in caplog.text


def test_url_of_the_content_is_shown_without_its_password(client: Client) -> None:
    """A document from a URL shows the URL without the password in it."""
    job = create_admin_job(
        options={"content": "", "url": "https://user:hunter2@shop.example/invoice"}
    )
    text = get_text(client, job_url(job))
    assert "@shop.example/invoice" in text
    assert "hunter2" not in text


def test_history_lists_events_in_order(client: Client) -> None:
    """Events are shown in their order, with their states and collapsed details."""
    job = create_admin_job(State.WORKING, attempt=1)
    job.record_event(EventKind.ACCEPTED, from_state=State.SUBMITTING, detail={"status_id": "abc"})
    job.record_event(EventKind.STEP_FAILED, note="x" * 300)
    lines = client.get(job_url(job)).context["history"]
    assert [line.event for line in lines] == ["enqueued", "accepted", "step failed"]
    assert "submitting" in lines[1].transition
    assert "working" in lines[1].transition
    assert '"status_id": "abc"' in lines[1].details
    assert len(lines[2].summary) < 150
    assert lines[2].details == "x" * 300


def test_history_summarizes_a_traceback_by_its_exception(client: Client) -> None:
    """The line shows the exception; the folded details have the traceback."""
    job = create_admin_job(State.FAILED, error_code="template_error")
    note = 'Traceback (most recent call last):\n  File "a.py", line 1\nValueError: no total\n'
    job.record_event(EventKind.FAILED, note=note)
    line = client.get(job_url(job)).context["history"][-1]
    assert line.summary == "ValueError: no total"
    assert line.details == note.strip()


def test_history_is_bounded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a long history the last events are shown."""
    monkeypatch.setattr(job_page, "MAX_HISTORY_LINES", 2)
    job = create_admin_job()
    for kind in (EventKind.CALLBACK, EventKind.STEP_FAILED, EventKind.LATE_RESPONSE):
        job.record_event(kind)
    lines = client.get(job_url(job)).context["history"]
    assert [line.event for line in lines] == ["step failed", "late response"]


def test_completed_job_has_a_download_link(client: Client) -> None:
    """The download link is shown when the job is completed."""
    done, busy = create_admin_job(State.COMPLETED), create_admin_job(State.DOWNLOADING)
    text = get_text(client, LIST)
    for job, expected in ((done, True), (busy, False)):
        link = reverse("django_docraptor:download", args=[job.pk])
        assert (link in text) == expected
        assert (link in get_text(client, job_url(job))) == expected


def test_result_is_shown_even_if_storing_failed(client: Client) -> None:
    """The page shows the result, even if the file could not be stored."""
    assert "SHA-256" not in get_text(client, job_url(failed_job()))
    job = failed_job(ErrorCode.STORAGE_ERROR, number_of_pages=3, file_size=2048)
    text = get_text(client, job_url(job))
    assert "2.0\xa0KB" in text
    assert reverse("django_docraptor:download", args=[job.pk]) not in text


def test_unfinished_page_refreshes(client: Client) -> None:
    """The page of an unfinished job refreshes, less often with time, unless it is paused."""
    job = create_admin_job(State.WORKING)
    tag = '<meta http-equiv="refresh" content="{}">'
    assert tag.format(5) in get_text(client, job_url(job))
    assert 'http-equiv="refresh"' not in get_text(client, f"{job_url(job)}?pause")
    RenderJob.objects.update(created_at=timezone.now() - timedelta(hours=1))
    assert tag.format(30) in get_text(client, job_url(job))
    assert 'http-equiv="refresh"' not in get_text(client, job_url(failed_job()))


def test_page_has_a_constant_number_of_queries(client: Client) -> None:
    """A long history needs no more queries than a short one."""
    job = create_admin_job(State.WORKING)
    client.get(job_url(job))
    with CaptureQueriesContext(connection) as few:
        client.get(job_url(job))
    RenderEvent.objects.bulk_create(
        RenderEvent(job=job, kind=EventKind.CALLBACK, to_state=job.state) for _ in range(50)
    )
    with CaptureQueriesContext(connection) as many:
        client.get(job_url(job))
    assert len(many) == len(few) <= 16  # eight of them ask whether the engine is alive
