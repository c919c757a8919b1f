"""CPU time of the site's processes, by Linux's ``/proc``."""

import os
from pathlib import Path

from benchmarks.cost.site import Site
from tests.support.processes import ManagedProcess

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(site: Site, worker: ManagedProcess) -> dict[str, float]:
    """Return the seconds of CPU that the site's processes have used so far."""
    children = {f"worker child {number + 1}": pid for number, pid in enumerate(worker.children)}
    processes = {"sandbox": site.sandbox.pid, "worker": worker.pid, **children}
    if site.web_pid:
        processes["web"] = site.web_pid
    return {name: _cpu(pid) for name, pid in processes.items()}


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS
