"""Internal. Run a probe: with a deadline, and so that no exception escapes.

Each runs in a thread of its own, because a storage, a driver or a name server may hang for longer
than any timeout of ours. It uses the connections of the calling thread, which waits: a tenant's
schema, and the transaction of a test, are theirs.
"""

import contextvars
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_docraptor.diagnosis.results import Result, as_sentence, fail, has_failed, warn
from django_docraptor.diagnosis.secret_values import redactor

# Seconds that a probe may take.
DEADLINE: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A thing to look at.

    Args:
        name: of the thing.
        run: yields the results.
        needs: names of probes without whose success it cannot tell anything.
        seconds: after which it is given up.
        remedy: what to do if it takes longer.
    """

    name: str
    run: Callable[[], Iterable[Result]]
    needs: tuple[str, ...] = ()
    seconds: float = DEADLINE
    remedy: str = ""


def run_probes(probes: Iterable[Probe]) -> Iterator[Result]:
    """Run the probes one after the other, and yield their results without secrets.

    What needs a probe that has failed is not looked at.
    """
    failed: set[str] = set()
    for probe in probes:
        missing = [name for name in probe.needs if name in failed]
        if missing:
            failed.add(probe.name)
            yield warn(probe.name, f"Not checked, because this failed: {', '.join(missing)}.")
            continue
        results = run_probe(probe)
        if has_failed(results):
            failed.add(probe.name)
        yield from results


def run_probe(probe: Probe) -> list[Result]:
    """Run one probe, and return its results without secrets; never raise."""
    results: list[Result] = []
    given_up: list[BaseDatabaseWrapper] = []
    thread = threading.Thread(
        target=contextvars.copy_context().run,
        args=(_collect, probe, results, _lend_connections(), given_up),
        daemon=True,  # one that hangs must not delay the end of the process
    )
    try:
        thread.start()
        thread.join(probe.seconds)
    except RuntimeError as error:
        results.append(fail(probe.name, f"Not checked: {error}."))
    if not thread.is_alive():
        _take_connections_back()
    else:
        given_up += _give_connections_up()
        message = f"There was no result within {probe.seconds:g} seconds."
        results.append(fail(probe.name, message, probe.remedy))
    redact = redactor()
    return [replace(result, message=redact(result.message)) for result in results]


def _collect(
    probe: Probe,
    results: list[Result],
    lent: dict[str, BaseDatabaseWrapper],
    given_up: list[BaseDatabaseWrapper],
) -> None:
    """Run the probe in its thread, and close the connections that it was left with."""
    for alias, connection in lent.items():
        connections[alias] = connection
    try:
        for result in probe.run():
            results.append(result)
    except BaseException as error:  # noqa: BLE001 - a project's code may even call sys.exit()
        message = f"It could not be checked: {as_sentence(error)}"
        results.append(fail(probe.name, message, probe.remedy))
    finally:
        for connection in given_up:
            connection.close()


def _lend_connections() -> dict[str, BaseDatabaseWrapper]:
    lent = {}
    for connection in connections.all():
        connection.inc_thread_sharing()
        lent[connection.alias] = connection
    return lent


def _take_connections_back() -> None:
    for connection in connections.all():
        connection.dec_thread_sharing()


def _give_connections_up() -> list[BaseDatabaseWrapper]:
    """Leave the connections to the thread that hangs: the next query opens others.

    One with an open transaction stays the caller's.
    """
    given_up = []
    for connection in connections.all():
        if connection.in_atomic_block:
            connection.dec_thread_sharing()
        else:
            del connections[connection.alias]
            given_up.append(connection)
    return given_up
