"""The memory that large HTML takes in a worker: the peak of a process that submits 16 documents.

The process is a fresh one for each size, and so is the peak. The sandbox runs in another.
"""

import argparse
import subprocess
import sys

from benchmarks.cost.metrics import Metric, Result
from benchmarks.cost.site import Site
from django_docraptor.models import RenderInput, RenderJob
from django_docraptor.models.clock import Now
from django_docraptor.models.insertion import insert_jobs
from django_docraptor.states import State

MEBIBYTE = 1024 * 1024
TARGET = 64
DOCUMENTS = 16
LARGE, SMALL = 8 * MEBIBYTE, 1000
TIMEOUT_SECONDS = 120
# VmHWM is that of the process alone; ru_maxrss may be that of the one that started it.
SCRIPT = """
from pathlib import Path
import django
django.setup()
from django_docraptor import lifecycle
while lifecycle.submit():  # a run ends after some seconds
    pass
lines = Path("/proc/self/status").read_text().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))
"""
IMAGE = '<img alt="" src="data:image/png;base64,{}">\n'
IMAGE_BYTES = 512 * 1024
# With the second, Python stores each character of the text in two bytes.
HEADS = {"ascii": "<h1>17.00 EUR</h1>\n", "euro": "<h1>17.00 €</h1>\n"}


def page(head: str, size: int) -> str:
    """Return HTML of about this many bytes, most of it embedded images."""
    images = [IMAGE.format("A" * min(size, IMAGE_BYTES))] * max(1, size // IMAGE_BYTES)
    return head + "".join(images)


def insert_documents(html: str) -> None:
    """Insert the rows alone: it is not enqueueing that is measured."""
    for number in range(DOCUMENTS):
        job = RenderJob(name=f"{number}.pdf", document_type="pdf", state=State.PENDING)
        job.due_at = Now()
        insert_jobs([(job, RenderInput(job_id=job.pk, content=html, options={}, params={}))])


def peak(site: Site, head: str, size: int) -> int:
    """Return the peak memory of a process that submits documents of a size, in bytes."""
    site.reset()
    insert_documents(page(head, size))
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(  # noqa: S603 - our own script
        command, check=True, timeout=TIMEOUT_SECONDS, capture_output=True, text=True
    )
    sent = RenderJob.objects.exclude(state=State.PENDING).count()
    if sent != DOCUMENTS:
        raise RuntimeError(f"{sent} of {DOCUMENTS} documents were sent")
    return int(done.stdout) * 1024


def measure(site: Site, options: argparse.Namespace) -> list[Metric]:
    """Compare large documents with small ones."""
    results = []
    for name, head in HEADS.items():
        small, large = peak(site, head, SMALL), peak(site, head, LARGE)
        results.append(
            Result(
                name=name,
                value=(large - small) / MEBIBYTE,
                target=TARGET,
                ours=f"{large / MEBIBYTE:.0f} MiB",
                baseline=f"{small / MEBIBYTE:.0f} MiB with {DOCUMENTS} of {SMALL // 1000} kB",
            )
        )
    return [
        Metric(
            key="worker_memory_html_mib",
            description=f"memory that {DOCUMENTS} documents of {LARGE // MEBIBYTE} MiB of HTML add "
            "to a worker, MiB",
            results=tuple(results),
            notes=(
                "euro: with a character that Python stores in two bytes, and so each of the text",
            ),
        )
    ]
