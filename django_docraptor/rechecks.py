"""Internal. What is decided again about a job once the transaction of its signal is over.

A signal is sent in the middle of a transaction: the lines of an invoice may come after it. So what
was computed from the source (whether to enqueue, name, options, key, HTML) is computed again from
what the transaction has left. Until then the job's input has a `Recheck`, so that a worker does it
if the process died before.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Self

from django.db.models import Case, DateTimeField, Value, When
from django.utils import timezone, translation

from django_docraptor.models import seconds_from_now
from django_docraptor.time_zones import text_to_zone, zone_to_text

# A document waits for a source that is saved again and again for this many delays at most.
MAX_DELAYS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Recheck:
    """How to decide again about a job that a signal has enqueued.

    Args:
        saves: the key of the trigger and the keywords for its ``when``, of each signal.
        language: language that was active.
        time_zone: time zone that was active, as text; "" if it has none.
        may_withdraw: whether no other request asks for the job, so that it is deleted if ``when``
            does not hold.
        delay: seconds for which the source must not be saved; 0: it is decided after the commit.
    """

    saves: tuple[Mapping[str, Any], ...]
    language: str
    time_zone: str
    may_withdraw: bool = True
    delay: float = 0.0

    @classmethod
    def now(cls, trigger: str, save: Mapping[str, Any], *, delay: float) -> Self:
        """Return the recheck of one signal, with the active language and time zone."""
        fields = save.get("update_fields")
        values = {**save} if fields is None else {**save, "update_fields": sorted(fields)}
        return cls(
            saves=({"trigger": trigger, "arguments": values},),
            language=translation.get_language() or "",
            time_zone=zone_to_text(timezone.get_current_timezone()),
            delay=delay,
        )

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | None) -> Self | None:
        """Return what was stored, if anything."""
        return None if stored is None else cls(**{**stored, "saves": tuple(stored["saves"])})

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)

    def after(self, earlier: Self | None) -> Self:
        """Return this recheck of a job that already exists.

        Args:
            earlier: the one that the job has; ``None`` if it was decided, or asked for by others.
        """
        if earlier is None:
            return replace(self, may_withdraw=False)
        others = (save for save in earlier.saves if save not in self.saves)
        return replace(self, saves=(*others, *self.saves), may_withdraw=earlier.may_withdraw)

    def latest_saves(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the trigger's key and the keywords for its ``when``, the latest signal first."""
        for save in reversed(self.saves):
            arguments = dict(save["arguments"])
            if arguments.get("update_fields") is not None:
                arguments["update_fields"] = frozenset(arguments["update_fields"])
            yield save["trigger"], arguments

    def next_due_at(self, created_at: datetime) -> Case:
        """Return when the job is due after another save: in ``delay``, but not later and later."""
        limit = created_at + timedelta(seconds=MAX_DELAYS * self.delay)
        is_late = When(
            created_at__lt=seconds_from_now(-(MAX_DELAYS - 1) * self.delay), then=Value(limit)
        )
        default = seconds_from_now(self.delay)
        return Case(is_late, default=default, output_field=DateTimeField())

    @contextmanager
    def activate_locale(self) -> Iterator[None]:
        """Activate the language and time zone of the save."""
        zone = text_to_zone(self.time_zone) if self.time_zone else None
        with translation.override(self.language or None), timezone.override(zone):
            yield
