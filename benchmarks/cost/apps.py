"""The app of the benchmark site: it records when a document was received, if asked to."""

import os
import time
from typing import Any

from django.apps import AppConfig


class CostConfig(AppConfig):
    """Listens to `document_completed` in processes with ``BENCH_RECEIVED_FILE``."""

    name = "benchmarks.cost"
    label = "cost"

    def ready(self) -> None:
        """Connect the receiver."""
        if "BENCH_RECEIVED_FILE" in os.environ:
            from django_docraptor.signals import document_completed

            document_completed.connect(record_received)


def record_received(sender: Any, job: Any, **_: Any) -> None:
    """Append a line with the document's name and the time, once its file is stored."""
    with open(os.environ["BENCH_RECEIVED_FILE"], "a") as file:
        file.write(f"{job.name} {time.time():.6f}\n")
