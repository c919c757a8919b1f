"""Polling alone: how long a finished document waits, and how many status calls it takes.

Renders up to 10 s run for real. Longer ones are simulated with the real schedule, with the lag and
the download time of the real ones.
"""

import argparse
import itertools
import random
import statistics
import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from benchmarks.cost.metrics import Metric, Result
from benchmarks.cost.poll_schedules import (
    ObservedRender,
    Schedule,
    allowed_wait,
    fixed_schedule,
    learned_schedule,
    log_spaced,
    lognormal,
    mean_calls,
    mean_ratio,
    simulate_learning,
    simulate_polls,
)
from benchmarks.cost.site import Site
from django_docraptor.lifecycle.pacing import JITTER, POLL_INTERVAL, poll_interval
from django_docraptor.models import RenderJob
from django_docraptor.sandbox import Fault
from django_docraptor.shortcuts import enqueue
from django_docraptor.states import State
from tests.support.documents import document_html, document_name
from tests.support.processes import wait_until

# Seconds of the real renders, and between two enqueued documents.
SHORTEST, LONGEST, PAUSE_SECONDS = 2.0, 10.0, 0.3
# Allowed status calls, by seconds of the render.
TARGETS = {5: 6, 60: 20, 600: 40}
# The baseline's status calls: one at once, and one per second until the render has ended.
BASELINE_CALLS = {5: 6, 60: 60, 600: 600}
SIMULATED_SPANS = ((10, 60), (60, 300))
SIMULATED_RENDERS = 2000
TIMEOUT_SECONDS = 60.0
# Floor, fraction, ceiling.
CANDIDATES = ((1.0, 0.2, 60.0), (1.0, 0.15, 60.0), (1.5, 0.2, 60.0))


@dataclass(frozen=True, slots=True)
class PollOverhead:
    """The time that real polls take beyond the schedule, in seconds."""

    poll_lag: float
    download_time: float


@dataclass(frozen=True, slots=True)
class RealRenders:
    """The real renders, and the overhead of their polls."""

    observed: list[ObservedRender]
    overhead: PollOverhead


def measure_real_renders(site: Site, renders: list[float]) -> RealRenders:
    """Enqueue documents with these render times, and learn of their end by polling alone."""
    site.reset()
    names = {document_name(number): seconds for number, seconds in enumerate(renders)}
    for name, seconds in names.items():
        site.control.add_fault(Fault(on="render", action="slow", match=name, seconds=seconds))
    with site.worker(callbacks=False):
        for name in names:
            enqueue(name=name, content=document_html(name))
            time.sleep(PAUSE_SECONDS)
        wait_until("all jobs are finished", _all_finished, TIMEOUT_SECONDS)
    jobs = {job.name: job for job in RenderJob.objects.filter(state=State.COMPLETED)}
    calls = status_calls(site)
    ends = {entry.name: entry.finished_at for entry in site.control.ledger.entries}
    observed, lags, download_times = [], [], []
    for name, seconds in names.items():
        job, times = jobs[name], calls[jobs[name].status_id]
        if job.finished_at is None or job.sent_at is None or ends[name] is None:
            raise RuntimeError(f"{name} was not rendered")
        wait = (job.finished_at - ends[name]).total_seconds()
        observed.append(ObservedRender(seconds, wait, len(times)))
        download_times.append((job.finished_at - times[-1]).total_seconds())
        lags += _poll_lags(job.sent_at, times)
    overhead = PollOverhead(statistics.fmean(lags), statistics.fmean(download_times))
    return RealRenders(observed, overhead)


def _all_finished() -> bool:
    return not RenderJob.objects.active().exists()


def status_calls(site: Site) -> dict[str, list[datetime]]:
    """Return the times of each document's status calls, by its status ID."""
    calls = defaultdict(list)
    for call in site.control.calls:
        if call.path.startswith("/status/"):
            calls[call.path.rpartition("/")[2]].append(call.time)
    return calls


def _poll_lags(sent_at: datetime, times: list[datetime]) -> list[float]:
    """Return by how much each gap between calls exceeds the schedule's mean, in seconds."""
    ages = [0.0, *((at - sent_at).total_seconds() for at in times)]
    return [
        later - age - statistics.fmean(poll_interval(age) for _ in range(100))
        for age, later in itertools.pairwise(ages)
    ]


def measure(site: Site, options: argparse.Namespace) -> list[Metric]:
    """Measure real renders, simulate longer ones, and compare schedules that were not chosen."""
    renders = [*log_spaced(SHORTEST, LONGEST, options.poll_documents), *[5.0] * 6]
    random.Random(1).shuffle(renders)  # noqa: S311
    real = measure_real_renders(site, renders)
    return [_delays(real), _calls(real)]


def _delays(real: RealRenders) -> Metric:
    overhead = real.overhead
    results = [_delay(f"{SHORTEST:g}-{LONGEST:g}", real.observed, "real")]
    for span in SIMULATED_SPANS:
        name = f"{span[0]}-{span[1]}"
        results.append(_delay(name, _simulated(poll_interval, overhead, *span), "simulated"))
    return Metric(
        key="poll_delay_ratio",
        description="polling only: mean wait after the end ÷ max(10 % of the render, 0.75 s)",
        results=tuple(results),
        notes=(
            f"a real poll comes {1000 * overhead.poll_lag:.0f} ms late; from its call to the "
            f"stored file {1000 * overhead.download_time:.0f} ms",
            *(f"schedule {text}" for text in _compare_schedules(overhead)),
        ),
    )


def _delay(name: str, observed: list[ObservedRender], how: str) -> Result:
    wait = statistics.fmean(one.wait for one in observed)
    # The baseline sleeps a second between calls: half a second late on average.
    baseline = statistics.fmean(0.5 / allowed_wait(one.render) for one in observed)
    return Result(
        name=name,
        value=mean_ratio(observed),
        target=1,
        ours=f"{wait:.2f} s on average, {how}",
        baseline=f"0.5 s ({baseline:.2f})",
    )


def _simulated(
    schedule: Schedule, overhead: PollOverhead, shortest: float, longest: float
) -> list[ObservedRender]:
    renders = log_spaced(shortest, longest, SIMULATED_RENDERS)
    return [_simulate(schedule, render, overhead) for render in renders]


def _simulate(schedule: Schedule, render: float, overhead: PollOverhead) -> ObservedRender:
    return simulate_polls(
        schedule, render, poll_lag=overhead.poll_lag, download_time=overhead.download_time
    )


def _calls(real: RealRenders) -> Metric:
    results = []
    for render, target in TARGETS.items():
        is_real = render <= LONGEST
        if is_real:
            observed = [one for one in real.observed if one.render == render]
        else:
            repeats = range(SIMULATED_RENDERS // 10)
            observed = [_simulate(poll_interval, render, real.overhead) for _ in repeats]
        calls = mean_calls(observed)
        results.append(
            Result(
                name=str(render),
                value=calls,
                target=target,
                ours=f"{calls:.1f} calls, {'real' if is_real else 'simulated'}",
                baseline=f"{BASELINE_CALLS[render]} calls",
            )
        )
    return Metric(
        key="status_calls",
        description="polling only: status calls per document",
        results=tuple(results),
    )


def _compare_schedules(overhead: PollOverhead) -> list[str]:
    """Return the results of other schedules, fixed and learned, in words."""
    chosen = (POLL_INTERVAL["floor"], POLL_INTERVAL["fraction"], POLL_INTERVAL["ceiling"])
    lines = [_describe_fixed(poll_interval, f"{chosen} (chosen)", overhead)]
    lines += [
        _describe_fixed(fixed_schedule(*one, JITTER), str(one), overhead) for one in CANDIDATES
    ]
    return lines + [_describe_learned(sigma, overhead) for sigma in (0.1, 0.3, 0.8)]


def _describe_fixed(schedule: Schedule, name: str, overhead: PollOverhead) -> str:
    spans = ((SHORTEST, LONGEST), *SIMULATED_SPANS)
    ratios = "/".join(f"{mean_ratio(_simulated(schedule, overhead, *span)):.2f}" for span in spans)
    calls = "/".join(
        f"{mean_calls([_simulate(schedule, render, overhead) for _ in range(200)]):.1f}"
        for render in TARGETS
    )
    return f"floor, fraction, ceiling {name}: delay ratio {ratios}, calls {calls}"


def _describe_learned(sigma: float, overhead: PollOverhead) -> str:
    """Compare schedules for one document's renders: fixed, learned, and from the true times.

    Args:
        sigma: how much the renders spread around a median.
        overhead: the overhead of real polls.
    """
    rng = random.Random(7)  # noqa: S311
    observed: dict[str, list[ObservedRender]] = {
        "fixed": [],
        "learned": [],
        "learned from true times": [],
    }
    for median in log_spaced(2, 200, 20):
        renders = lognormal(median, sigma, 150, rng)
        known, new = renders[:50], renders[50:]
        observed["fixed"] += [_simulate(poll_interval, render, overhead) for render in new]
        observed["learned"] += simulate_learning(
            renders,
            poll_interval,
            poll_lag=overhead.poll_lag,
            download_time=overhead.download_time,
        )[50:]
        schedule = learned_schedule(known, poll_interval)
        observed["learned from true times"] += [
            _simulate(schedule, render, overhead) for render in new
        ]
    results = "; ".join(
        f"{name} delay ratio {mean_ratio(renders):.2f}, calls {mean_calls(renders):.1f}"
        for name, renders in observed.items()
    )
    return f"for one document's renders (spread {sigma:g}): {results}"
