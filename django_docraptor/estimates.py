"""Internal. How long a document usually takes, by the latest ones of its class.

One query by an index, whose result is cached for a moment. Knows nothing about one job.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import DateTimeField
from django.db.models.functions import Coalesce

from django_docraptor.caching import read_cache, write_cache
from django_docraptor.durations import percentile
from django_docraptor.models import RenderJob
from django_docraptor.states import State

# Finished jobs that are read, and completed ones that an estimate needs at least.
MAX_DOCUMENTS: Final = 100
MIN_DOCUMENTS: Final = 5
LONGEST_PERCENTILE: Final = 95
# The page of a job is read every few seconds; its estimate need not be.
CACHE_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Estimate:
    """How long a document takes, from the request to the file.

    Args:
        usual: seconds within which half of the documents are completed.
        longest: seconds within which 95 % of them are.
    """

    usual: int
    longest: int


def estimate_of(document: str) -> Estimate | None:
    """Return how long a document usually takes; ``None`` with too short a history.

    Args:
        document: label of a document class. Without one there is no estimate: what was enqueued
            without a class has nothing in common.
    """
    if not document:
        return None
    # A label may have letters that a cache does not allow in a key.
    key = f"django_docraptor.estimate:{hashlib.sha256(document.encode()).hexdigest()}"
    cached = _known(read_cache(key))
    if cached is None:
        cached = _read_seconds(document)
        write_cache(key, cached, CACHE_SECONDS)
    return Estimate(*cached) if cached else None


def _read_seconds(document: str) -> tuple[int, ...]:
    """Return the two numbers of an estimate, or nothing."""
    # All states: one condition more would search the history while a class fails for long.
    finished = RenderJob.objects.filter(document=document, finished_at__isnull=False)
    wanted_at = Coalesce("not_before", "created_at", output_field=DateTimeField())
    columns = ("state", "attempt", wanted_at, "finished_at")
    rows = finished.order_by("-finished_at").values_list(*columns)[:MAX_DOCUMENTS]
    # A copied document has no attempt; after several attempts, a person may have waited between.
    durations = sorted(
        max(0.0, (finished_at - wanted_at).total_seconds())
        for state, attempt, wanted_at, finished_at in rows
        if state == State.COMPLETED and attempt == 1
    )
    if len(durations) < MIN_DOCUMENTS:
        return ()
    return seconds_within(durations, 50), seconds_within(durations, LONGEST_PERCENTILE)


def seconds_within(durations: Sequence[float], percent: int) -> int:
    """Return the whole seconds within which so many percent of the sorted durations lie."""
    return max(1, math.ceil(percentile(durations, percent)))


def _known(cached: Any) -> tuple[int, ...] | None:
    """Return a value of the cache if it is one of ours."""
    return tuple(cached) if isinstance(cached, (list, tuple)) and len(cached) in (0, 2) else None
