"""`make bench`: what a document costs, ours and the usual way, side by side in one run.

Real PostgreSQL, Redis and Celery workers; a sandbox in DocRaptor's place that answers with canned
bytes. One module a figure, each with ``measure(place, options) -> Figure``; `catalogue` lists them.
"""
