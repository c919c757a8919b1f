"""One of several claimers: ``python -m tests.e2e.claim_jobs GO`` begins when the file GO is there.

Prints the keys of the jobs that it has claimed, as JSON.
"""

import json
import sys
import time
from pathlib import Path

import django


def main(go: Path) -> None:
    """Say that it is ready, wait for the start, claim until nothing is due."""
    django.setup()
    from django_docraptor.models import RenderJob  # needs the set-up

    RenderJob.objects.count()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    stop = time.monotonic() + 30
    while not go.exists() and time.monotonic() < stop:
        time.sleep(0.001)
    claimed: list[str] = []
    while RenderJob.objects.due().exists():
        jobs = RenderJob.objects.claim(limit=10, lease=600)
        claimed += [job.pk.hex for job in jobs]
    sys.stdout.write(f"claimed {json.dumps(claimed)}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
