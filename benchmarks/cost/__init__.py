"""`make bench`: measure the cost per document, for django-docraptor and for the baseline.

Both are measured in one run, with real PostgreSQL, Redis and Celery workers, and a sandbox instead
of DocRaptor that responds with canned files. One module per metric, each with
``measure(site, options) -> list[Metric]``; `catalogue` lists them.
"""
