"""Enqueue documents: ``python -m tests.e2e.enqueue COUNT`` prints the jobs as JSON.

Each is enqueued in a separate transaction, as by requests, or with ``--at-once`` all together.
"""

import argparse
import json
import sys
import time

import django

import tests.e2e.celery  # noqa: F401 - as a project's __init__ does
from tests.support.documents import document_html, document_name


def main() -> None:
    """Enqueue the documents; print the jobs and the seconds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("count", type=int)
    parser.add_argument("--at-once", action="store_true")
    options = parser.parse_args()
    django.setup()
    from django_docraptor.shortcuts import JobSpec, enqueue, enqueue_many  # needs the set-up

    names = [document_name(number) for number in range(options.count)]
    specs = [{"name": name, "content": document_html(name), "test": False} for name in names]
    began = time.monotonic()
    if options.at_once:
        jobs = enqueue_many([JobSpec(**spec) for spec in specs])
    else:
        jobs = [enqueue(**spec) for spec in specs]
    seconds = time.monotonic() - began
    json.dump({"jobs": {job.pk.hex: job.name for job in jobs}, "seconds": seconds}, sys.stdout)


if __name__ == "__main__":
    main()
