"""Faults that the site's own processes inject into themselves: counted, and ended from outside."""

import os

from django.conf import settings

LOG = "injected.log"
NO_MORE_FAULTS = "no-more-faults"


def has_ended() -> bool:
    """Return whether the run has ended all faults."""
    return bool((settings.SCRATCH / NO_MORE_FAULTS).exists())


def count_fault(kind: str) -> None:
    """Count a fault, before it does its damage: one line, written at once."""
    handle = os.open(settings.SCRATCH / LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, f"{kind}\n".encode())
    finally:
        os.close(handle)
