"""A small `make bench`: counts only, never the clock, which tells of the machine."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from benchmarks.cost import queries
from benchmarks.cost.metrics import Case, Figure, as_json
from benchmarks.cost.poll_schedules import fixed, mean_calls, play
from benchmarks.cost.report import verdict
from tests.support.services import service_problem

COUNTS = ["queries_per_document", "idle_cost", "status_calls", "memory_ratio", "connections"]
SIZES = ["--poll-documents", "6", "--document-mib", "60"]


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    """What a run has written to ``BENCH_JSON``."""
    if service_problem("postgresql") or not shutil.which("redis-server"):
        pytest.skip("PostgreSQL or redis-server is missing")
    path = tmp_path_factory.mktemp("bench") / "figures.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.cost", "--only", *COUNTS, *SIZES],
        env=os.environ | {"BENCH_JSON": str(path)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert not done.returncode, done.stdout + done.stderr
    return json.loads(path.read_text())


@pytest.mark.services("postgresql")
def test_queries_are_few_and_constant(figures):
    """A document's life takes few queries, alone or among three hundred."""
    found = figures["queries_per_document"]
    assert max(found.values()) <= queries.LIMIT
    # Which step meets which document depends a little on the clock; nothing grows with their count.
    assert found["of_300"] <= 1.25 * found["of_100"]


@pytest.mark.services("postgresql")
def test_nothing_to_do_costs_next_to_nothing(figures):
    """A tick that finds nothing asks once."""
    assert figures["idle_cost"] <= 1


@pytest.mark.services("postgresql")
def test_polls_are_few(figures):
    """Status calls for renders of 5, 60 and 600 s."""
    assert figures["status_calls"]["5"] <= 6
    assert figures["status_calls"]["60"] <= 20
    assert figures["status_calls"]["600"] <= 40


@pytest.mark.services("postgresql")
def test_memory_is_bounded(figures):
    """A large document adds little to a worker: nothing on disk, a few parts on the way to S3."""
    assert figures["memory_ratio"]["disk"] <= 0.1
    assert figures["memory_ratio"]["s3"] <= 0.5  # of 60 MiB: three parts of 8 MiB, and boto3


@pytest.mark.services("postgresql")
def test_connections_are_kept_and_not_shared(figures):
    """Fifty polls use one connection; a forked process opens its own."""
    assert figures["connections"] == {"here": 1, "forked": 1, "after": 0}


def test_every_figure_has_its_target():
    """A figure is reached only if all of its cases are."""
    low = Case(name="low", value=1.0, limit=2.0)
    high = Case(name="high", value=61.23456, limit=60.0, at_least=True)
    assert Figure(key="both", what="", cases=(low, high)).is_reached
    missed = Case(name="missed", value=59.9, limit=60.0, at_least=True)
    figure = Figure(key="one", what="", cases=(low, missed))
    assert not figure.is_reached
    assert as_json([figure]) == {"one": {"low": 1, "missed": 59.9}}


def test_a_bound_excuses_only_what_comes_near_it():
    """Short of its limit, a number counts only within a fifth of what was possible."""
    near = Case(value=8.1, limit=15.0, at_least=True, bound=10.0)
    far = Case(value=7.9, limit=15.0, at_least=True, bound=10.0)
    assert not near.is_reached
    assert Figure(key="near", what="", cases=(near,)).is_reached
    assert not Figure(key="far", what="", cases=(far,)).is_reached
    assert [verdict(case) for case in (near, far)] == ["bounded by 10", "MISSED"]


def test_a_virtual_render_is_seen_after_its_end():
    """The virtual clock: polls each second see a render of 4.5 s at the fifth."""
    seen = play(fixed(1.0, 0.0, 60.0, (1.0, 1.0)), 4.5)
    assert (seen.calls, seen.wait) == (5, 0.5)
    assert mean_calls([seen]) == 5
