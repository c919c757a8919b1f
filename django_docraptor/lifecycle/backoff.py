"""When to try again, and when to give up."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any

from django.db import InterfaceError, OperationalError

from django_docraptor.conf import conf
from django_docraptor.exceptions import (
    CallError,
    DocRaptorError,
    UnauthorizedError,
    UnknownOutcomeError,
)
from django_docraptor.models import Account, RenderJob, after, logger
from django_docraptor.states import ACCOUNT_PAUSE, Kind, Reason, State

GiveWay = Callable[[RenderJob, DocRaptorError], object]
BASE, CAP = 2.0, 300.0
# Chosen by `make bench` (docs/explanation/performance.md): the mean wait after the end of a render
# stays below a tenth of it, or 0.75 s, for 5, 20 and 37 calls in 5, 60 and 600 s.
POLL = {"floor": 1.1, "ceiling": 40.0, "fraction": 0.18}
# Where DocRaptor calls back, polls are the safety net, and learn of failures.
CALLED_BACK = {"floor": 10.0, "ceiling": 60.0, "fraction": 0.5}
# So wide that renders of one length are not all met at the same, perhaps bad, phase.
JITTER = (0.8, 1.2)


def delay(failures: int) -> float:
    """Seconds to wait after so many failures in a row: exponential, capped, with jitter."""
    return min(CAP, BASE * 2.0 ** min(failures, 16)) * random.uniform(0.5, 1)  # noqa: S311


def poll_interval(age: float) -> float:
    """Seconds until the next poll of an attempt of that age in seconds.

    A fraction of the age, so that the wait after the end stays a small share of the render time.
    """
    schedule = (CALLED_BACK if conf.callback_base_url else POLL) | dict(conf.poll)
    wanted = min(schedule["ceiling"], max(schedule["floor"], schedule["fraction"] * age))
    return wanted * random.uniform(*JITTER)  # noqa: S311


def fail(job: RenderJob, reason: Reason, errors: str, **changes: Any) -> bool:
    """Give a job up, for a reason that says what broke. Returns whether it was still ours."""
    return job.move(
        State.FAILED,
        kind=Kind.FAILED,
        leased=True,
        note=errors,
        detail={"reason": reason.value},
        error_code=reason.value,
        errors=errors,
        **changes,
    )


def hold(job: RenderJob, why: str) -> None:
    """Leave the decision to a person: a retry may be a second bill."""
    if job.callback_at:
        advice = (
            "DocRaptor has called back for it, so it was made; its status_id is not known. "
            "Look for it in DocRaptor's log: a retry makes, and bills, another one."
        )
    else:
        advice = (
            "It is not known whether it was accepted and billed: "
            "check DocRaptor's log, then retry by hand if it was not."
        )
    fail(job, Reason.SUBMIT_UNCONFIRMED, f"{why} {advice}")


def put_off(
    job: RenderJob, error: Exception, *, seconds: float | None = None, counted: bool = True
) -> bool:
    """Leave a job in its state and try the step again later, noting why."""
    wait = delay(job.failures) if seconds is None else seconds
    failures = job.failures + counted
    held = job.set(failures=failures, lease_token="", due_at=after(wait), errors=str(error))
    if held:
        job.record(Kind.TRY_FAILED, note=str(error), detail=describe(error))
    return held


def pause_account(job: RenderJob, error: UnauthorizedError) -> None:
    """401 is a matter of the account, not of the job: stop all of its calls for a while."""
    Account.pause(job.account, ACCOUNT_PAUSE, str(error))


def pause(job: RenderJob, error: UnauthorizedError) -> None:
    """Stop the account's calls after a 401; the job waits in its state, and nothing is counted."""
    pause_account(job, error)
    put_off(job, error, seconds=ACCOUNT_PAUSE, counted=False)


@contextmanager
def alone(job: RenderJob, give_way: GiveWay) -> Iterator[None]:
    """Let no job take the others of its batch with it, whatever goes wrong with it.

    Args:
        give_way: what to do with the job then, a bounded number of times.
    """
    seen = copy(job)  # a write that fails may have changed what the object shows
    try:
        yield
    except (InterfaceError, OperationalError):  # the database's own trouble ends the whole step
        raise
    except Exception as error:  # noqa: BLE001 - one job's trouble, whatever it is
        logger.exception("Job %s: unexpected error", job.pk)
        told = f"{type(error).__name__} while the answer was written down; the log says more."
        give_way(seen, UnknownOutcomeError(told, retryable=True))


def describe(error: Exception) -> dict[str, Any]:
    """The facts of an error for the history."""
    facts: dict[str, Any] = {"error": getattr(error, "code", type(error).__name__)}
    if isinstance(error, CallError):
        facts |= {"sent": error.sent.value}
        facts |= {"status": error.status} if error.status else {}
        facts |= {"request_id": error.request_id} if error.request_id else {}
        facts |= {"body": error.body} if error.body else {}
    return facts
