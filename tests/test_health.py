"""Liveness: the report, the status command, the sentences for people."""

import json
from io import StringIO

import pytest
from django.core.management import call_command
from django.urls import reverse

from django_docraptor import health, lifecycle, shortcuts
from django_docraptor.models import Account, Heartbeat
from django_docraptor.sandbox import Sandbox
from tests.support.jobs import run_until_finished, enqueue, skip_time

pytestmark = pytest.mark.django_db(transaction=True)


def status(*arguments: str) -> tuple[str, int]:
    """What the command prints, and its exit code."""
    out = StringIO()
    try:
        call_command("docraptor_status", *arguments, stdout=out, no_color=True)
    except SystemExit as stop:
        return out.getvalue(), int(stop.code or 0)
    return out.getvalue(), 0


def test_report_of_an_idle_site(sandbox: Sandbox, documents_dir) -> None:
    """Nothing to do is no problem, even if nothing ever ticked."""
    run_until_finished(enqueue())
    found = health.health_report()
    assert found.lag == 0
    assert set(found.counts.values()) == {0}
    assert health.health_problems() == []
    assert status()[1] == 0


def test_report_nothing_ever_ticked(sandbox: Sandbox) -> None:
    """A job that nobody takes is a problem, and the sentence says what to start."""
    enqueue()
    skip_time(300)
    (problem,) = health.health_problems()
    assert "5 min" in problem
    assert "nothing has ever ticked" in problem
    text, code = status()
    assert code == 1
    assert problem in text
    assert status("--max-lag", "1000")[1] == 0


def test_report_ticks_stopped_and_workers_busy(sandbox: Sandbox) -> None:
    """It is told apart whether beat stopped or the workers do not come through."""
    enqueue()
    skip_time(300)
    Heartbeat.objects.update_or_create(pk=1, defaults={"ticked_at": "2020-01-01T00:00Z"})
    assert "nothing has ticked for" in health.health_problems()[0]
    Heartbeat.record("ticked_at")
    assert "no worker has taken it" in health.health_problems()[0]


def test_report_waiting_for_a_slot_is_not_late(sandbox: Sandbox, settings) -> None:
    """Jobs that wait because all slots are taken do not raise an alarm."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_IN_FLIGHT": 1}
    sandbox.change_settings(delay=100)
    enqueue()
    lifecycle.submit()
    waiting = enqueue()
    skip_time(1)
    type(waiting).objects.filter(pk=waiting.pk).update(due_at="2020-01-01T00:00Z")
    assert health.health_report().lag < 60


def test_report_stopped_accounts(sandbox: Sandbox) -> None:
    """A paused account and an open circuit are told with their reason."""
    Account.pause("default", 600, "Unauthorized")
    for _ in range(5):
        Account.lock("other")
        Account.record_failure("other", "HTTP 503")
    problems = health.health_problems()
    assert any("default: no calls until" in text and "Unauthorized" in text for text in problems)
    assert any("other: no creates until" in text and "HTTP 503" in text for text in problems)


def test_status_json(sandbox: Sandbox) -> None:
    """Monitors get the same as JSON."""
    shortcuts.enqueue(name="a", content="-")
    found = json.loads(status("--json")[0])
    assert found["counts"]["pending"] == 1
    assert found["problems"] == []


def test_admin_says_that_nothing_ticks(sandbox: Sandbox, admin_client) -> None:
    """The list of jobs bears the same sentence in a banner, and none when all is well."""
    url = reverse("admin:django_docraptor_renderjob_changelist")
    enqueue()
    assert "nothing has ever ticked" not in admin_client.get(url).content.decode()
    skip_time(300)
    assert "nothing has ever ticked" in admin_client.get(url).content.decode()


def test_note_is_rare(sandbox: Sandbox, django_assert_num_queries) -> None:
    """The same sight costs a query only now and then."""
    health._last_recorded.clear()
    health.record_heartbeat("ticked_at")
    with django_assert_num_queries(0):
        health.record_heartbeat("ticked_at")
    assert Heartbeat.objects.get().ticked_at is not None
