"""CPU time of this process and of its connection's work in the database server.

Unlike elapsed time, it hardly depends on what else the machine does. Linux only, and the server
must run on this machine.
"""

import time
from collections.abc import Callable
from pathlib import Path

from django.db import connection

from tests.support.history import execute

Clock = Callable[[], float]
# Without parallel workers, which would be other processes.
THREADS = {
    "postgresql": ("SET max_parallel_workers_per_gather = 0", "SELECT pg_backend_pid()"),
    "mysql": (  # MariaDB
        "SELECT tid FROM information_schema.processlist WHERE id = connection_id()",
    ),
}


def cpu_clock() -> Clock:
    """Return a clock in milliseconds; of this process alone if the database is a file.

    Raises:
        RuntimeError: the server's threads cannot be seen here.
    """
    if connection.vendor not in THREADS:
        return lambda: time.process_time() * 1000
    *settings, thread = THREADS[connection.vendor]
    for statement in settings:
        execute(statement)
    [[number]] = execute(thread)
    found = [*Path("/proc").glob(f"[0-9]*/task/{number}/schedstat")]
    if not found:
        raise RuntimeError(f"Thread {number} of {connection.vendor} does not run on this machine.")

    def read() -> float:
        nanoseconds = int(found[0].read_text().split()[0])
        return time.process_time() * 1000 + nanoseconds / 1_000_000

    return read
