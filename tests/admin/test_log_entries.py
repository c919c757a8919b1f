"""Who did what with a job, in Django's own log."""

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import DatabaseError
from django.test import Client

from django_docraptor.admin import log_entries
from django_docraptor.states import ErrorCode, State
from tests.support.admin_jobs import (
    LIST,
    confirm,
    create_admin_job,
    current_state,
    failed_job,
    get_text,
    job_url,
)

pytestmark = pytest.mark.django_db


def test_operations_are_in_the_history(client: Client) -> None:
    """The page *History* of a job shows who retried it, and what that meant for the bill."""
    job = failed_job()
    confirm(client, job_url(job, "retry"))
    confirm(client, job_url(job, "cancel"))
    messages = list(LogEntry.objects.order_by("id").values_list("change_message", flat=True))
    assert messages == ["Retried. Billed", "Cancelled. Not billed"]
    assert job_url(job, "history") in get_text(client, job_url(job))
    text = get_text(client, job_url(job, "history"))
    assert "Retried. Billed" in text
    assert "staff-" in text


def test_action_logs_each_job_that_it_changed(client: Client) -> None:
    """Jobs of one outcome need one statement."""
    jobs = [failed_job(), failed_job(), failed_job(ErrorCode.TIMED_OUT)]
    jobs.append(create_admin_job(State.COMPLETED))
    data = {"action": "retry_selected", "_selected_action": [str(job.pk) for job in jobs]}
    confirm(client, LIST, **data)
    logged = LogEntry.objects.values_list("object_id", "change_message")
    assert dict(logged) == {
        str(jobs[0].pk): "Retried. Billed",
        str(jobs[1].pk): "Retried. Billed",
        str(jobs[2].pk): "Retried. Not billed",
    }


def test_question_is_not_logged(client: Client) -> None:
    """A GET request, and a POST that was not confirmed, did nothing."""
    job = failed_job()
    client.get(job_url(job, "retry"))
    client.post(job_url(job, "retry"))
    assert not LogEntry.objects.exists()


def test_operation_does_not_depend_on_the_log(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """If the log cannot be written, the operation is done, and the error is logged."""

    def fail(*args: Any, **kwargs: Any) -> None:
        raise DatabaseError("no table")

    monkeypatch.setattr(log_entries.LogEntry.objects, "log_actions", fail)
    job = failed_job()
    confirm(client, job_url(job, "retry"))
    assert current_state(job) == State.PENDING
    assert "The admin's log has no entry for 1 objects" in caplog.text


def test_entries_are_in_the_sites_language(client: Client, settings: Any) -> None:
    """Others than the user read them."""
    settings.LANGUAGE_CODE = "en"
    job = failed_job()
    client.cookies.load({settings.LANGUAGE_COOKIE_NAME: "de"})
    confirm(client, job_url(job, "retry"))
    assert LogEntry.objects.get().change_message == "Retried. Billed"


def test_retry_of_a_whole_list_is_one_entry(client: Client) -> None:
    """A thousand jobs are not a thousand entries; each job's own history names the user."""
    jobs = [failed_job(), failed_job()]
    page = client.get(f"{LIST}retry-all/")
    data = {"until": page.context["until"], "billed": page.context["counts"].billed, "all": "yes"}
    client.post(f"{LIST}retry-all/", data)
    assert [current_state(job) for job in jobs] == [State.PENDING, State.PENDING]
    entry = LogEntry.objects.get()
    assert (entry.object_repr, entry.change_message) == ("2 failed jobs", "Retried.")
    assert entry.user.username.startswith("staff-")
