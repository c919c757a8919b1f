"""Claim all due jobs: ``python -m tests.e2e.claim_jobs START_FILE`` starts when the file exists.

Prints the IDs of the claimed jobs as JSON.
"""

import json
import sys
import time
from pathlib import Path

import django


def main(start_file: Path) -> None:
    """Print "ready", wait for the file, and claim until no job is due."""
    django.setup()
    from django_docraptor.lifecycle.accounts import claim  # these need the set-up
    from django_docraptor.models import RenderJob
    from django_docraptor.states import State

    RenderJob.objects.count()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    stop = time.monotonic() + 30
    while not start_file.exists() and time.monotonic() < stop:
        time.sleep(0.001)
    claimed: list[str] = []
    while RenderJob.objects.due().exists():
        jobs = claim([State.PENDING], limit=10, lease=600)
        claimed += [job.pk.hex for job in jobs]
        time.sleep(0.005)  # on a busy machine, let the others begin before all are claimed
    sys.stdout.write(f"claimed {json.dumps(claimed)}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
