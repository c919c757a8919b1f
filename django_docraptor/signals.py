"""Signals sent about a job, after commit, at least once, and robustly.

Every receiver gets ``sender`` (the ``RenderJob`` class) and ``job``. A worker that dies between the
commit and the signal leaves it to the next tick, so a receiver may see the same job twice: make it
idempotent. An exception in a receiver is logged and harms nothing else.
"""

from django.dispatch import Signal

# DocRaptor has accepted an attempt: `job.status_id` is set.
document_submitted = Signal()
# The verified file is in the storage: `job.file` can be opened. A hosted document (`job.hosted`)
# has no file here: it is at `job.public_url`.
document_completed = Signal()
# The job was given up: `job.error_code` and `job.errors` say why.
document_failed = Signal()
# A delivery to the source's file field failed and is due again; our own receiver tries it.
delivery_due = Signal()
