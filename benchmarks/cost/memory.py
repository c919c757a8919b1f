"""The memory that a large document adds to a worker: the peak, above that of the idle worker."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import boto3

from benchmarks.cost.metrics import Metric, Result
from benchmarks.cost.site import Site
from django_docraptor.models import RenderJob
from django_docraptor.shortcuts import enqueue
from django_docraptor.states import State
from tests.apps.baseline.models import Document
from tests.apps.baseline.tasks import render_document
from tests.support.documents import document_html
from tests.support.processes import ManagedProcess, free_port, python_module, wait_until

MEBIBYTE = 1024 * 1024
TARGET = 0.1
BUCKET = "documents"
KEYS = {"access_key": "a-key", "secret_key": "a-secret", "region_name": "us-east-1"}
TIMEOUT_SECONDS = 120.0
StartRender = Callable[[Site, str], Callable[[], object]]


def start_ours(site: Site, name: str) -> Callable[[], object]:
    """Enqueue a document.

    Returns:
        A function that tells whether it is stored.
    """
    enqueue(name=name, content=document_html(name))
    return RenderJob.objects.filter(name=name, state=State.COMPLETED).exists


def start_baseline(site: Site, name: str) -> Callable[[], object]:
    """Enqueue a document of the baseline.

    Returns:
        A function that tells whether it is stored.
    """
    render_document.delay(Document.objects.create(name=name).pk)
    return Document.objects.filter(name=name).exclude(file="").exists


def peak_growth(site: Site, size: int, start_render: StartRender, **environment: str) -> int:
    """Return the bytes that one document adds to the peak memory of the worker's only child.

    Args:
        site: the site.
        size: the document's bytes.
        start_render: enqueues a document by its name.
        environment: more variables for the worker.
    """
    site.reset()
    with site.worker(callbacks=False, slots=1, **environment) as worker:
        for number in range(2):  # imports, connections
            name = f"small-{number}.pdf"
            wait_until(f"{name} is stored", start_render(site, name), TIMEOUT_SECONDS)
        [child] = worker.children
        before = _reset_peak(child)
        site.control.change_settings(canned_bytes=size)
        wait_until("the large document is stored", start_render(site, "large.pdf"), TIMEOUT_SECONDS)
        return _kibibytes(child, "VmHWM") * 1024 - before


def _reset_peak(pid: int) -> int:
    """Reset the peak of a process; return the bytes that it has now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return _kibibytes(pid, "VmRSS") * 1024


def _kibibytes(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def start_s3(site: Site) -> tuple[ManagedProcess, str]:
    """Start a server for S3's protocol, with a bucket; return it with its URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = python_module("moto.server", "-H", "127.0.0.1", "-p", str(port))
    server = site.start_process("s3", command)
    server.wait_for_output("Running on")
    client = boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=KEYS["access_key"],
        aws_secret_access_key=KEYS["secret_key"],
        region_name=KEYS["region_name"],
    )
    client.create_bucket(Bucket=BUCKET)
    client.close()
    return server, url


def s3_storage(url: str, **options: object) -> str:
    """Return the storage's entry in the settings, as JSON."""
    options = {"bucket_name": BUCKET, "endpoint_url": url, "default_acl": "private"} | options
    return json.dumps({"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": {**options, **KEYS}})


def measure(site: Site, options: argparse.Namespace) -> list[Metric]:
    """Compare the memory for documents that are stored on disk and in S3."""
    size = options.document_mib * MEBIBYTE
    to_disk = _result(
        "disk", peak_growth(site, size, start_ours), peak_growth(site, size, start_baseline)
    )
    server, url = start_s3(site)
    try:
        # With the options recommended in the documentation, and with the defaults.
        with_recommended_options, baseline = (
            peak_growth(site, size, start, BENCH_STORAGE=s3_storage(url, use_threads=False))
            for start in (start_ours, start_baseline)
        )
        with_default_options = peak_growth(site, size, start_ours, BENCH_STORAGE=s3_storage(url))
    finally:
        server.kill_all()
    to_s3 = _result("s3", with_recommended_options, baseline)
    mebibytes = with_default_options / MEBIBYTE
    return [
        Metric(
            key="memory_ratio",
            description=f"extra worker memory for a document of {options.document_mib} MiB, "
            "ours ÷ baseline",
            results=(to_disk, to_s3),
            notes=(
                f"ours to S3 without `use_threads: False`: {mebibytes:.0f} MiB, ten parts at once",
            ),
        )
    ]


def _result(name: str, ours: int, baseline: int) -> Result:
    return Result(
        name=name,
        value=ours / baseline,
        target=TARGET,
        ours=f"{ours / MEBIBYTE:.1f} MiB",
        baseline=f"{baseline / MEBIBYTE:.0f} MiB",
    )
