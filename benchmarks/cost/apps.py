"""The bench site's own app: it notes when a document was received, where a figure asks for that."""

import os
import time
from typing import Any

from django.apps import AppConfig


class BenchConfig(AppConfig):
    """Listens to `document_completed` in processes with ``BENCH_RECEIVED``."""

    name = "benchmarks.cost"
    label = "bench"

    def ready(self) -> None:
        """Connect the receiver."""
        if "BENCH_RECEIVED" in os.environ:
            from django_docraptor.signals import document_completed

            document_completed.connect(note)


def note(sender: Any, job: Any, **_: Any) -> None:
    """One line a document, when its file is stored and its signal received: name, clock."""
    with open(os.environ["BENCH_RECEIVED"], "a") as file:
        file.write(f"{job.name} {time.time():.6f}\n")
