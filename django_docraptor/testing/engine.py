"""Internal. Run the real engine in a test: without a worker, and without waiting."""

import time
from collections.abc import Callable
from datetime import timedelta

from django.apps import apps
from django.db.models import DateTimeField, F, Min

from django_docraptor import lifecycle
from django_docraptor.models import RenderJob
from django_docraptor.models.clock import Now
from django_docraptor.states import ACTIVE_STATES, FINAL_STATES, HELD_UNTIL, POLLED_STATES
from django_docraptor.testing.commit_hooks import refuse_open_transaction, run_commit_hooks

MAX_ROUNDS = 200
# Seconds between two rounds while another process, or thread, renders.
PAUSE_SECONDS = 0.02


def run(
    before_round: Callable[[], object] = lambda: None, *, patience: float = 0.0
) -> list[RenderJob]:
    """Run what is due until nothing is.

    Args:
        before_round: called before each round of the engine, outside of it.
        patience: seconds to wait for documents that are being rendered elsewhere.

    Returns:
        The jobs that were finished, oldest first.

    Raises:
        AssertionError: something became due again and again.
        RuntimeError: called inside ``transaction.atomic()``.
    """
    refuse_open_transaction()
    is_final = RenderJob.objects.filter(state__in=FINAL_STATES)
    earlier = set(is_final.values_list("pk", flat=True))
    rounds, stop = 0, time.monotonic() + patience
    while True:
        has_run = run_commit_hooks()
        before_round()
        _ask_again_now()
        if rounds and not has_run and not _is_anything_due():
            break
        if not lifecycle.run_once() and not has_run:
            break
        rounds += 1
        if time.monotonic() < stop and RenderJob.objects.filter(state__in=POLLED_STATES).exists():
            time.sleep(PAUSE_SECONDS)
        elif rounds > MAX_ROUNDS:
            raise AssertionError(
                f"After {MAX_ROUNDS} rounds, something is still due: does a receiver of "
                "document_completed enqueue the same document again?"
            )
    # Jobs of one moment are told apart by their first events, which have numbers.
    finished = is_final.exclude(pk__in=earlier).annotate(first_event=Min("events__pk"))
    return list(finished.order_by("first_event"))


def _is_anything_due() -> bool:
    """Return whether a job or a signal is due, by the query with which workers ask."""
    schedule = lifecycle.read_schedule()
    return schedule.needs_recovery or schedule.has_due(*ACTIVE_STATES)


def _ask_again_now() -> None:
    """Make the next poll due of each job that DocRaptor has and that waits only for it."""
    waiting = RenderJob.objects.filter(
        state__in=POLLED_STATES, failures=0, lease_token="", due_at__gt=Now()
    )
    waiting.update(due_at=Now())


def advance(seconds: float) -> None:
    """Let time pass, as far as the package's tables know it: move all their times into the past."""
    past = timedelta(seconds=seconds)
    for model in apps.get_app_config("django_docraptor").get_models():
        moved = {
            field.name: F(field.name) - past
            for field in model._meta.concrete_fields
            if isinstance(field, DateTimeField)
        }
        if model is RenderJob:
            # The time of a held job stands for "never".
            RenderJob.objects.filter(due_at__lt=HELD_UNTIL).update(due_at=moved.pop("due_at"))
        if moved:
            model._base_manager.update(**moved)
