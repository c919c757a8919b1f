"""`manage.py docraptor_retry` retries what its options select, and says what is billed."""

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError
from django.utils import timezone

from django_docraptor.management.commands import docraptor_retry
from django_docraptor.models import Account, RenderJob
from django_docraptor.states import ErrorCode, State
from tests.support.admin_jobs import failed_job
from tests.support.databases import rejecting
from tests.support.jobs import current_state

pytestmark = pytest.mark.django_db


def retry(*arguments: str) -> str:
    """Run the command and return its output."""
    out = StringIO()
    call_command("docraptor_retry", *arguments, stdout=out, no_color=True)
    return out.getvalue()


def test_all_failed_jobs_are_retried_and_the_bill_is_told() -> None:
    """By default every failed job is retried, and the number of billed documents is printed."""
    resumed = failed_job(ErrorCode.TIMED_OUT, status_id="1")
    started = failed_job(ErrorCode.REJECTED, status_id=None)
    text = retry()
    assert "2 jobs: 1 with what DocRaptor has accepted, not billed; 1 from the start" in text
    assert "1 document will be billed." in text
    assert "Retried 2 jobs in" in text
    assert (current_state(resumed), current_state(started)) == (State.QUEUED, State.PENDING)


def test_dry_run_changes_nothing() -> None:
    """With `--dry-run` the same is told and nothing is done."""
    job = failed_job()
    text = retry("--dry-run")
    assert "1 document will be billed." in text
    assert "Nothing was changed." in text
    assert current_state(job) == State.FAILED


def test_nothing_to_retry() -> None:
    """Without a failed job the command says so and succeeds."""
    assert retry() == "No failed job matches.\n"


@pytest.mark.parametrize(
    ("arguments", "matches"),
    [
        (["--error-code", "timed_out"], True),
        (["--error-code", "rejected"], False),
        (["--error-code", "rejected", "--error-code", "timed_out"], True),
        (["--document", "shop.InvoicePDF"], True),
        (["--document", "-"], False),
        (["--account", "acme"], True),
        (["--account", "other"], False),
        (["--since", "2h"], True),
        (["--since", "30m"], False),
        (["--until", "30m"], True),
        (["--until", "2h"], False),
        (["--since", "2020-01-01"], True),
        (["--until", "2020-01-01T08:00"], False),
        (["--since", "2020-01-01T08:00+02:00", "--limit", "1"], True),
        (["--from-start"], True),
    ],
    ids=str,
)
def test_options_select_jobs(arguments: list[str], matches: bool) -> None:
    """Each option selects by its column; WHEN is when the job failed."""
    Account.objects.create(name="other")
    job = failed_job(
        ErrorCode.TIMED_OUT,
        document="shop.InvoicePDF",
        account="acme",
        finished_at=timezone.now() - timedelta(hours=1),
    )
    Account.objects.create(name="acme")
    retry(*arguments)
    assert (current_state(job) != State.FAILED) == matches


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--error-code", "time_out"], "Did you mean timed_out"),
        (["--error-code", "xyzzy"], "Error codes: configuration_error, document_gone"),
        (["--document", "shop.InvoicPDF"], "Did you mean shop.InvoicePDF"),
        (["--account", "acmee"], "Did you mean acme?"),
        (["--account", "xyzzy"], "Known accounts: acme."),
        (["--since", "yesterday"], "--since: 'yesterday' is neither a date"),
        (["--since", "2026-02-30"], "--since: '2026-02-30' is neither a date"),
        (["--until", "5w"], "--until: '5w' is neither a date"),
        (["--since", "999999999d"], "is too long"),
        (["--limit", "0"], "--limit: '0' is not an integer greater than zero"),
        (["--limit", "many"], "--limit: 'many' is not an integer greater than zero"),
    ],
)
def test_wrong_option_names_the_remedy(arguments: list[str], message: str) -> None:
    """An option that names nothing is an error with the nearest name, and nothing is retried."""
    Account.objects.create(name="acme")
    job = failed_job()
    with pytest.raises(CommandError, match=message):
        retry(*arguments)
    assert current_state(job) == State.FAILED


def test_failure_of_some_jobs_is_an_error() -> None:
    """If some jobs could not be retried, the exit status says so."""
    job = failed_job()
    rejected = rejecting(job.pk.hex, DatabaseError("deadlock"))
    with rejected, pytest.raises(CommandError, match="1 job could not be retried"):
        retry()


def test_interruption_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends the command with what was done, and how to go on."""
    failed_job()

    def interrupt(*args: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(docraptor_retry, "retry_in_batches", interrupt)
    with pytest.raises(CommandError, match="Run the command again"):
        retry()
    assert RenderJob.objects.get().state == State.FAILED
