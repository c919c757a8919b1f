"""The app of the benchmark site: it records received documents and lost claims, if asked to."""

import os
import time
import uuid
from collections.abc import Callable
from typing import Any

from django.apps import AppConfig
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created


class CostConfig(AppConfig):
    """Listens to what ``BENCH_RECEIVED_FILE`` and ``BENCH_LOST_CLAIMS_FILE`` ask for."""

    name = "benchmarks.cost"
    label = "cost"

    def ready(self) -> None:
        """Connect the receivers."""
        if "BENCH_RECEIVED_FILE" in os.environ:
            from django_docraptor.signals import document_completed

            document_completed.connect(record_received)
        if "BENCH_LOST_CLAIMS_FILE" in os.environ:
            connection_created.connect(_count_lost_claims)


def _count_lost_claims(connection: BaseDatabaseWrapper, **_: Any) -> None:
    if record_lost_claims not in connection.execute_wrappers:
        connection.execute_wrappers.append(record_lost_claims)


def record_lost_claims(
    execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    """Append to this process's file how many rows an UPDATE that claims did not find any more.

    A claim names its rows by their keys; one that skips locked rows names none, and loses none.
    """
    result = execute(sql, params, many, context)
    assigned = sql.partition(" WHERE ")[0]
    if sql.startswith("UPDATE") and '"lapsed_claims"' in assigned and '"state"' not in assigned:
        wanted = sum(isinstance(param, uuid.UUID) for param in params)
        if lost := wanted - context["cursor"].rowcount:
            with open(f"{os.environ['BENCH_LOST_CLAIMS_FILE']}.{os.getpid()}", "a") as file:
                file.write(f"{lost}\n")
    return result


def record_received(sender: Any, job: Any, **_: Any) -> None:
    """Append a line with the document's name and the time, once its file is stored."""
    with open(os.environ["BENCH_RECEIVED_FILE"], "a") as file:
        file.write(f"{job.name} {time.time():.6f}\n")
