"""What a large document adds to a worker's memory: the peak, above what it holds when idle."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import boto3

from benchmarks.cost.metrics import Case, Figure
from benchmarks.cost.site import Place
from django_docraptor.models import RenderJob
from django_docraptor.shortcuts import enqueue
from django_docraptor.states import State
from tests.apps.baseline.models import Document
from tests.apps.baseline.tasks import render_document
from tests.support.documents import document_html
from tests.support.processes import ManagedProcess, free_port, python_module, wait_until

MEBIBYTE = 1024 * 1024
LIMIT = 0.1
BUCKET = "documents"
KEYS = {"access_key": "a-key", "secret_key": "a-secret", "region_name": "us-east-1"}
PATIENCE = 120.0


def ours(place: Place, name: str) -> Callable[[], object]:
    """Order a document; returns what tells that it is there."""
    enqueue(name=name, content=document_html(name))
    return RenderJob.objects.filter(name=name, state=State.COMPLETED).exists


def usual(place: Place, name: str) -> Callable[[], object]:
    """The same with a task that does everything."""
    render_document.delay(Document.objects.create(name=name).pk)
    return Document.objects.filter(name=name).exclude(file="").exists


def growth(
    place: Place,
    size: int,
    way: Callable[[Place, str], Callable[[], object]],
    **environment: str,
) -> int:
    """Bytes that a document of that size adds to the peak of the one child that makes it."""
    place.clean()
    with place.worker(callbacks=False, slots=1, **environment) as worker:
        for number in range(2):  # imports, connections
            name = f"small-{number}.pdf"
            wait_until(name, way(place, name), PATIENCE)
        [child] = worker.children
        before = _forget_peak(child)
        place.control.change_settings(canned_bytes=size)
        wait_until("the large document is there", way(place, "large.pdf"), PATIENCE)
        return _kibibytes(child, "VmHWM") * 1024 - before


def _forget_peak(pid: int) -> int:
    """Begin a new peak; returns the bytes held now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return _kibibytes(pid, "VmRSS") * 1024


def _kibibytes(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def s3(place: Place) -> tuple[ManagedProcess, str]:
    """A server that speaks S3's protocol, with a bucket, and its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = python_module("moto.server", "-H", "127.0.0.1", "-p", str(port))
    role = place.role("s3", command)
    role.wait_for_output("Running on")
    client = boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=KEYS["access_key"],
        aws_secret_access_key=KEYS["secret_key"],
        region_name=KEYS["region_name"],
    )
    client.create_bucket(Bucket=BUCKET)
    client.close()
    return role, url


def storage(url: str, **options: object) -> str:
    """The storage's entry in the settings, as JSON."""
    options = {"bucket_name": BUCKET, "endpoint_url": url, "default_acl": "private"} | options
    return json.dumps({"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": {**options, **KEYS}})


def measure(place: Place, options: argparse.Namespace) -> list[Figure]:
    """To disk and to S3."""
    size = options.document_mib * MEBIBYTE
    cases = [_case("disk", growth(place, size, ours), growth(place, size, usual))]
    role, url = s3(place)
    try:
        # As the manual sets it up, and as it comes.
        advised, other = (
            growth(place, size, way, BENCH_STORAGE=storage(url, use_threads=False))
            for way in (ours, usual)
        )
        plain = growth(place, size, ours, BENCH_STORAGE=storage(url))
    finally:
        role.kill_all()
    cases.append(_case("s3", advised, other))
    note = f"ours to s3 without `use_threads: False`: {plain / MEBIBYTE:.0f} MiB, ten parts at once"
    return [
        Figure(
            key="memory_ratio",
            what=f"extra worker memory for a document of {options.document_mib} MiB, ours ÷ usual",
            cases=tuple(cases),
            notes=(note,),
        )
    ]


def _case(name: str, mine: int, other: int) -> Case:
    return Case(
        name=name,
        value=mine / other,
        limit=LIMIT,
        ours=f"{mine / MEBIBYTE:.1f} MiB",
        usual=f"{other / MEBIBYTE:.0f} MiB",
    )
