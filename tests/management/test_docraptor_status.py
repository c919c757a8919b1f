"""`manage.py docraptor_status` prints the state of the queue, and fails if there is a problem."""

import json
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command

from django_docraptor import health, recent_failures
from django_docraptor.models import RenderJob
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import State
from tests.support.jobs import enqueue, run_until_finished, skip_time

pytestmark = pytest.mark.django_db(transaction=True)


def status(*arguments: str) -> tuple[str, int]:
    """Run the command; return its output and exit status."""
    out = StringIO()
    try:
        call_command("docraptor_status", *arguments, stdout=out, no_color=True)
    except SystemExit as stop:
        return out.getvalue(), int(stop.code or 0)
    return out.getvalue(), 0


def test_status_of_an_idle_site_succeeds(sandbox: Sandbox, documents_dir) -> None:
    """Without unfinished jobs the exit status is 0."""
    run_until_finished(enqueue())
    assert status()[1] == 0


def test_status_fails_and_prints_the_problem(sandbox: Sandbox) -> None:
    """With a problem the exit status is 1, and the problem is printed."""
    enqueue()
    skip_time(300)
    (problem,) = health.health_problems()
    text, code = status()
    assert code == 1
    assert problem in text


def test_max_lag_allows_jobs_to_wait_longer(sandbox: Sandbox) -> None:
    """`--max-lag` sets the seconds that a job may wait before it is a problem."""
    enqueue()
    skip_time(300)
    assert status("--max-lag", "1000")[1] == 0


def test_json_has_counts_and_problems(sandbox: Sandbox) -> None:
    """`--json` prints the same for monitors."""
    enqueue()
    found = json.loads(status("--json")[0])
    assert found["counts"]["pending"] == 1
    assert found["problems"] == []


def test_counts_end_somewhere_unless_all_are_asked_for(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A state with very many jobs says so; `--count-all` counts them."""
    monkeypatch.setattr(health.health_report, "__kwdefaults__", {"max_counted": 2})
    for _ in range(3):
        enqueue()
    assert "pending             2+" in status()[0]
    assert json.loads(status("--json")[0])["max_counted"] == 2
    assert "pending              3" in status("--count-all")[0]


def fail(error_code: str, errors: str = "", hours: float = 0) -> RenderJob:
    """Store a job that failed some hours ago."""
    job = enqueue()
    created_at = datetime.now(UTC) - timedelta(hours=hours)
    RenderJob.objects.filter(pk=job.pk).update(
        state=State.FAILED, error_code=error_code, errors=errors, due_at=None, created_at=created_at
    )
    return job


def test_failures_of_a_day_are_explained() -> None:
    """Grouped by reason, the most frequent first, with what to do; none of an earlier day."""
    for name in ("a", "b"):
        fail("render_failed", f"Document Malformed: line 1: {name}")
    fail("render_failed", "A reason of its own")
    fail("template_error", "ValueError: £54 of Ada", hours=23)
    fail("rejected", hours=25)
    text, code = status()
    assert code == 0
    assert "2 jobs of the last 24 hours failed: HTML not well formed (render_failed). " in text
    assert "1 job of the last 24 hours failed: error in the template (template_error). " in text
    assert "rejected by DocRaptor" not in text
    assert "Ada" not in text
    found = json.loads(status("--json")[0])["failures"]
    assert (found[0]["error_code"], found[0]["count"]) == ("render_failed", 2)
    assert sum(group["count"] for group in found) == 4
    assert found[0]["remedy"] in text


def test_failures_are_read_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many have failed, few are read."""
    monkeypatch.setattr(recent_failures, "MAX_READ", 2)
    for _ in range(3):
        fail("storage_error")
    assert [group.count for group in recent_failures.recent_failures()] == [2]
