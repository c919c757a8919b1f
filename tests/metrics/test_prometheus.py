"""Prometheus: what a scrape shows of documents, also if many processes made them."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from django_docraptor import instrumentation
from django_docraptor.instrumentation import QueueMeasured
from django_docraptor.metrics import prometheus
from django_docraptor.sandbox import Fault, Sandbox
from tests.support.jobs import enqueue, run_until_finished

ROOT = Path(__file__).parents[2]
# Two processes that make the same.
SCRIPT = """
import sys, uuid
import django
django.setup()
from django_docraptor.instrumentation import CallMade, QueueMeasured
from django_docraptor.metrics.prometheus import receive
receive(CallMade(name="download", account="default", seconds=0.2, bytes_received=100))
receive(QueueMeasured(account="", state="pending", depth=int(sys.argv[1]), lag_seconds=0.0))
"""


@pytest.fixture
def receiver() -> Any:
    """Subscribe the receiver."""
    instrumentation.subscribe(prometheus.receive)
    yield prometheus
    instrumentation.unsubscribe(prometheus.receive)


class Scrape:
    """The values at one time, and how they have grown since."""

    def __init__(self) -> None:
        self.before = self.values()

    @staticmethod
    def values() -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Return all of our values by name and labels."""
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for metric in REGISTRY.collect()
            for sample in metric.samples
            if sample.name.startswith("docraptor_")
        }

    def growth(self, name: str, **labels: str) -> float:
        """Return by how much the sum of a metric's values with these labels has grown."""
        return sum(
            value - self.before.get(key, 0.0)
            for key, value in self.values().items()
            if key[0] == name and labels.items() <= dict(key[1]).items()
        )


@pytest.mark.django_db(transaction=True)
def test_document_is_counted(sandbox: Sandbox, documents_dir: Any, receiver: Any) -> None:
    """A document counts its calls, moves and steps, and times them."""
    scrape = Scrape()
    job = run_until_finished(enqueue())
    assert scrape.growth("docraptor_calls_total", call="create_async_doc", outcome="ok") == 1
    assert scrape.growth("docraptor_call_seconds_count", call="download") == 1
    assert scrape.growth("docraptor_received_bytes_total", call="download") == job.file_size
    assert scrape.growth("docraptor_jobs_moved_total", from_state="", to_state="pending") == 1
    assert (
        scrape.growth(
            "docraptor_jobs_moved_total",
            to_state="completed",
            document="other",
            account="default",
            test="true",
        )
        == 1
    )
    assert scrape.growth("docraptor_state_seconds_count", state="pending") == 1
    assert scrape.growth("docraptor_step_seconds_count", step="store") == 1


@pytest.mark.django_db(transaction=True)
def test_failure_is_counted_by_its_code(sandbox: Sandbox, receiver: Any) -> None:
    """A failed job counts once, by its error code; so does the call that was refused."""
    scrape = Scrape()
    sandbox.add_fault(Fault(on="create", action="status", status_code=422, times=1))
    run_until_finished(enqueue())
    assert scrape.growth("docraptor_jobs_failed_total", error_code="rejected") == 1
    assert scrape.growth("docraptor_jobs_failed_total") == 1
    assert scrape.growth("docraptor_calls_total", outcome="rejected") == 1


def test_queue_is_a_gauge() -> None:
    """The queue's depth and lag are those of the last measurement, for all accounts and each."""
    for depth in (5, 2):
        for account in ("", "default"):
            prometheus.receive(
                QueueMeasured(account=account, state="working", depth=depth, lag_seconds=depth / 2)
            )
    values = Scrape.values()
    state = ("state", "working")
    assert values["docraptor_queue_jobs", (state,)] == 2
    assert values["docraptor_queue_lag_seconds", (state,)] == 1
    assert values["docraptor_account_queue_jobs", (("account", "default"), state)] == 2
    assert values["docraptor_account_queue_lag_seconds", (("account", "default"), state)] == 1


@pytest.mark.once
def test_processes_share_their_values(tmp_path: Path) -> None:
    """With a directory for all processes, counters are sums, and a gauge is the last one's."""
    environment = os.environ | {
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PYTHONPATH": str(ROOT),
    }
    for depth in ("7", "3"):
        subprocess.run(
            [sys.executable, "-c", SCRIPT, depth], env=environment, check=True, timeout=120
        )
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(tmp_path))
    lines = generate_latest(registry).decode().splitlines()
    counted = 'docraptor_calls_total{account="default",call="download",outcome="ok"} 2.0'
    assert counted in lines
    assert 'docraptor_queue_jobs{state="pending"} 3.0' in lines
    assert 'docraptor_call_seconds_count{call="download"} 2.0' in lines
