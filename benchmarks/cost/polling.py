"""Polling alone: how long a finished document waits, and how many status calls it takes.

Renders up to 10 s run for real. Longer ones are played on a virtual clock with the real schedule,
each poll as late, and each stored file as much later, as the real ones were.
"""

import argparse
import itertools
import random
import statistics
import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from benchmarks.cost.metrics import Case, Figure
from benchmarks.cost.poll_schedules import (
    Schedule,
    Seen,
    fixed,
    learn,
    learned,
    lognormal,
    mean_calls,
    mean_ratio,
    play,
    spread,
)
from benchmarks.cost.site import Place
from django_docraptor.lifecycle.backoff import JITTER, POLL, poll_interval
from django_docraptor.models import RenderJob
from django_docraptor.sandbox import Fault
from django_docraptor.shortcuts import enqueue
from django_docraptor.states import State
from tests.support.documents import document_html, document_name
from tests.support.processes import wait_until

# Seconds: renders for real, and between two orders.
SHORTEST, LONGEST, PAUSE = 2.0, 10.0, 0.3
LIMITS = {5: 6, 60: 20, 600: 40}
SPANS = ((10, 60), (60, 300))
# Renders on the virtual clock.
PLAYED = 2000
PATIENCE = 60.0
CANDIDATES = ((1.0, 0.2, 60.0), (1.0, 0.15, 60.0), (1.5, 0.2, 60.0))


@dataclass(frozen=True, slots=True)
class Cost:
    """What real polls have cost beyond the schedule, in seconds."""

    late: float
    tail: float


@dataclass(frozen=True, slots=True)
class Real:
    """What was seen for real."""

    seen: list[Seen]
    cost: Cost


def real(place: Place, renders: list[float]) -> Real:
    """Order documents that take so long, by polling alone."""
    place.clean()
    names = {document_name(number): seconds for number, seconds in enumerate(renders)}
    for name, seconds in names.items():
        place.control.add_fault(Fault(on="render", action="slow", match=name, seconds=seconds))
    with place.worker(callbacks=False):
        for name in names:
            enqueue(name=name, content=document_html(name))
            time.sleep(PAUSE)
        wait_until("all are final", lambda: not RenderJob.objects.active().exists(), PATIENCE)
    jobs = {job.name: job for job in RenderJob.objects.filter(state=State.COMPLETED)}
    calls = status_calls(place)
    ends = {entry.name: entry.finished_at for entry in place.control.ledger.entries}
    seen, late, tails = [], [], []
    for name, seconds in names.items():
        job, asked = jobs[name], calls[jobs[name].status_id]
        if job.finished_at is None or job.sent_at is None or ends[name] is None:
            raise RuntimeError(f"{name} was not made")
        wait = (job.finished_at - ends[name]).total_seconds()
        seen.append(Seen(seconds, wait, len(asked)))
        tails.append((job.finished_at - asked[-1]).total_seconds())
        late += _lateness(job.sent_at, asked)
    return Real(seen, Cost(statistics.fmean(late), statistics.fmean(tails)))


def status_calls(place: Place) -> dict[str, list[datetime]]:
    """When each document's status was asked for, by its status_id."""
    calls = defaultdict(list)
    for call in place.control.calls:
        if call.path.startswith("/status/"):
            calls[call.path.rpartition("/")[2]].append(call.time)
    return calls


def _lateness(sent: datetime, asked: list[datetime]) -> list[float]:
    """By how much each gap between calls exceeded what the schedule asks for, on average."""
    ages = [0.0, *((at - sent).total_seconds() for at in asked)]
    return [
        later - age - statistics.fmean(poll_interval(age) for _ in range(100))
        for age, later in itertools.pairwise(ages)
    ]


def measure(place: Place, options: argparse.Namespace) -> list[Figure]:
    """Real renders, played ones, and the schedules that were not chosen."""
    renders = [*spread(SHORTEST, LONGEST, options.poll_documents), *[5.0] * 6]
    random.Random(1).shuffle(renders)  # noqa: S311
    found = real(place, renders)
    return [_delays(found), _calls(found)]


def _delays(found: Real) -> Figure:
    cost = found.cost
    cases = [_delay(f"{SHORTEST:g}-{LONGEST:g}", found.seen, "real")]
    for span in SPANS:
        name = f"{span[0]}-{span[1]}"
        cases.append(_delay(name, _played(poll_interval, cost, *span), "virtual clock"))
    return Figure(
        key="poll_delay_ratio",
        what="polling only: mean wait after the end ÷ max(10 % of the render, 0.75 s)",
        cases=tuple(cases),
        notes=(
            f"a real poll comes {1000 * cost.late:.0f} ms late; from its call to the stored file "
            f"{1000 * cost.tail:.0f} ms",
            *(f"schedule {words}" for words in _compared(cost)),
        ),
    )


def _delay(name: str, seen: list[Seen], how: str) -> Case:
    wait = statistics.fmean(one.wait for one in seen)
    # The task that sleeps a second is half a second late, whatever the render takes.
    usual = statistics.fmean(0.5 / max(0.1 * one.render, 0.75) for one in seen)
    return Case(
        name=name,
        value=mean_ratio(seen),
        limit=1,
        ours=f"{wait:.2f} s in the mean, {how}",
        usual=f"0.5 s ({usual:.2f})",
    )


def _played(schedule: Schedule, cost: Cost, shortest: float, longest: float) -> list[Seen]:
    renders = spread(shortest, longest, PLAYED)
    return [play(schedule, render, late=cost.late, tail=cost.tail) for render in renders]


def _calls(found: Real) -> Figure:
    cases = []
    for render, limit in LIMITS.items():
        if render <= LONGEST:
            seen = [one for one in found.seen if one.render == render]
        else:
            seen = [play(poll_interval, render, late=found.cost.late) for _ in range(PLAYED // 10)]
        cases.append(
            Case(
                name=str(render),
                value=mean_calls(seen),
                limit=limit,
                ours=f"{mean_calls(seen):.1f} calls"
                + (", real" if render <= LONGEST else ", virtual clock"),
                usual=f"{USUAL[render]} calls",
            )
        )
    return Figure(
        key="status_calls", what="polling only: status calls per document", cases=tuple(cases)
    )


# A call, and one after each second, until the render has ended.
USUAL = {5: 6, 60: 60, 600: 600}


def _compared(cost: Cost) -> list[str]:
    """Other schedules, fixed and learned, in words."""
    chosen = (POLL["floor"], POLL["fraction"], POLL["ceiling"])
    words = [_fixed_in_words(poll_interval, f"{chosen} (chosen)", cost)]
    words += [_fixed_in_words(fixed(*one, JITTER), str(one), cost) for one in CANDIDATES]
    return words + [_learned_in_words(sigma, cost) for sigma in (0.1, 0.3, 0.8)]


def _fixed_in_words(schedule: Schedule, name: str, cost: Cost) -> str:
    spans = ((SHORTEST, LONGEST), *SPANS)
    ratios = "/".join(f"{mean_ratio(_played(schedule, cost, *span)):.2f}" for span in spans)
    calls = "/".join(
        f"{mean_calls([play(schedule, render, late=cost.late) for _ in range(200)]):.1f}"
        for render in LIMITS
    )
    return f"floor, fraction, ceiling {name}: delay ratio {ratios}, calls {calls}"


def _learned_in_words(sigma: float, cost: Cost) -> str:
    """A label's renders, spread by so much around a median: fixed, learned, told by an oracle."""
    dice = random.Random(7)  # noqa: S311
    told: dict[str, list[Seen]] = {"fixed": [], "learned": [], "learned from true times": []}
    late, tail = cost.late, cost.tail
    for median in spread(2, 200, 20):
        renders = lognormal(median, sigma, 150, dice)
        known, new = renders[:50], renders[50:]
        told["fixed"] += [play(poll_interval, render, late=late, tail=tail) for render in new]
        told["learned"] += learn(renders, poll_interval, late=late, tail=tail)[50:]
        schedule = learned(known, poll_interval)
        told["learned from true times"] += [
            play(schedule, render, late=late, tail=tail) for render in new
        ]
    sides = "; ".join(
        f"{name} delay ratio {mean_ratio(seen):.2f}, calls {mean_calls(seen):.1f}"
        for name, seen in told.items()
    )
    return f"for one label's renders (spread {sigma:g}): {sides}"
