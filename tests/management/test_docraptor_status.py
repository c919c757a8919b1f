"""`manage.py docraptor_status` prints the state of the queue, and fails if there is a problem."""

import json
from io import StringIO

import pytest
from django.core.management import call_command

from django_docraptor import health
from django_docraptor.sandbox import Sandbox
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
