"""A probe ends by its deadline, lets no exception escape, and repeats no secret."""

import threading
from collections.abc import Iterator

import pytest
from django.db import connection, connections

from django_docraptor.diagnosis.probing import Probe, run_probe, run_probes
from django_docraptor.diagnosis.results import Result, fail, ok
from django_docraptor.models import Account
from tests.diagnosis.conftest import only, statuses

pytestmark = pytest.mark.django_db


def test_probe_that_hangs_is_given_up() -> None:
    """A storage or a driver without a timeout does not stop the command; its remedy is told."""
    end = threading.Event()

    def hang() -> Iterator[Result]:
        yield ok("thing", "Begun.")
        end.wait(30)

    first, last = run_probe(Probe(name="thing", run=hang, seconds=0.1, remedy="Restart it."))
    end.set()
    assert first.text == "Begun."
    assert (last.status, last.text) == (
        "fail",
        "There was no result within 0.1 seconds. Restart it.",
    )


@pytest.mark.parametrize("error", [ValueError("no. "), SystemExit(3), KeyError("x"), OSError()])
def test_no_exception_escapes(error: BaseException) -> None:
    """Whatever a project's code raises is a failure of the probe, after what it has found."""

    def raise_it() -> Iterator[Result]:
        yield ok("thing", "Begun.")
        raise error

    first, last = run_probe(Probe(name="thing", run=raise_it))
    assert statuses([first, last]) == [("thing", "ok"), ("thing", "fail")]
    assert type(error).__name__ in last.message


def test_probe_that_needs_a_failed_one_is_not_run() -> None:
    """What cannot be told is said to be unknown, and so is what needs that."""

    def explode() -> list[Result]:
        raise AssertionError("It must not run.")

    probes = [
        Probe(name="a", run=lambda: [fail("a", "Broken.")]),
        Probe(name="b", run=explode, needs=("a",)),
        Probe(name="c", run=explode, needs=("b",)),
        Probe(name="d", run=lambda: [ok("d", "Good.")]),
    ]
    results = list(run_probes(probes))
    assert statuses(results) == [("a", "fail"), ("b", "warn"), ("c", "warn"), ("d", "ok")]
    assert results[1].text == "Not checked, because this failed: a."


def test_probe_uses_the_connection_of_its_caller() -> None:
    """It sees what the caller's transaction has written, and a tenant's schema."""
    Account.objects.create(name="uncommitted")
    count = run_probe(Probe(name="a", run=lambda: [ok("a", str(Account.objects.count()))]))
    assert only(count) == ("ok", "1")
    assert Account.objects.count() == 1  # the connection is the caller's again


@pytest.mark.django_db(transaction=True)
def test_connection_of_a_probe_that_hangs_is_not_used_again() -> None:
    """The thread that was given up may still use it, and closes it; the caller opens another."""
    Account.objects.count()
    before, lent = connection.connection, connections["default"]
    threads, end = [threading.current_thread()], threading.Event()

    def hang() -> list[Result]:
        threads.append(threading.current_thread())
        end.wait(30)
        Account.objects.count()
        return []

    run_probe(Probe(name="a", run=hang, seconds=0.2))
    assert Account.objects.count() == 0
    assert connection.connection is not before
    assert lent.connection is before
    end.set()
    threads[1].join(10)
    assert lent.connection is None


def test_message_has_no_secret(settings) -> None:
    """An error that quotes a password of the settings is redacted."""
    settings.STORAGES = settings.STORAGES | {"x": {"OPTIONS": {"secret_key": "s3cr3t/x"}}}
    text = "denied for s3cr3t/x (s3cr3t%2Fx) at redis://user:pa55word@cache:6379/0"
    (result,) = run_probe(Probe(name="a", run=lambda: [fail("a", text)]))
    assert result.message == (
        "denied for [redacted] ([redacted]) at redis://[redacted]@cache:6379/0"
    )


def test_result_is_one_printable_line() -> None:
    """Output of another server does not control the terminal."""
    assert fail("a", "one\n\x1b[2Jtwo", " three ").text == "one [2Jtwo three"
