"""Internal. Signals about jobs, sent after the commit and at least once.

Every receiver gets ``sender`` (the ``RenderJob`` class) and ``job``. If a worker dies between the
commit and the signal, the next tick sends it, so a receiver may be called twice for a job: make it
idempotent. An exception in a receiver is logged and has no other effect.
"""

import logging
from collections.abc import Mapping
from typing import Any

from django.dispatch import Signal

logger = logging.getLogger(__name__)

# DocRaptor has accepted an attempt: `job.status_id` is set.
document_submitted = Signal()
# The verified file is stored: `job.file` can be opened. A hosted document (`job.hosted`) has no
# file; it is at `job.public_url`.
document_completed = Signal()
# The job failed: see `job.error_code` and `job.errors`.
document_failed = Signal()
# DocRaptor's log has warnings about a completed document, such as a missing image: see
# `job.warnings` and `job.generation_log`. Only with `GENERATION_LOG`.
document_warned = Signal()
# A group has an outcome: see `group.state`. Receivers get `sender` (the `RenderGroup` class) and
# `group`. It is sent again after a retry.
group_completed = Signal()
# Delivery to the source's file field failed and is due again, or the document is unchanged;
# this package's own receiver delivers it.
delivery_due = Signal()
# The e-mail to a job's owner (`mail.notify_owner`) failed and is due again; this package's own
# receiver sends it.
mail_due = Signal()
# Reading the generation log failed and is due again; this package's own receiver reads it.
log_due = Signal()
# `Document.on_completed()` or `on_failed()` failed and is due again; this package's own receiver
# repeats it.
hook_due = Signal()
# A budget has reached its soft or hard limit: once in a period, after the commit, and not again if
# the process dies at that moment. No job belongs to it: a receiver gets `scope` ("account",
# "document" or "owner"), `name`, `period` ("day" or "month"), `level` ("soft" or "hard"), `limit`,
# `used` and `ends_at`.
budget_reached = Signal()


def send_to_all(
    signal: Signal,
    sender: type,
    *,
    subject: str,
    fields: Mapping[str, Any] | None = None,
    **values: Any,
) -> list[tuple[object, Exception]]:
    """Send a signal to every receiver, and return the names of those that raised, with the errors.

    Internal. It never raises.

    Args:
        signal: one of this module.
        sender: the model.
        subject: what the log's message begins with, such as ``Job 5…``.
        fields: ``extra`` of that message.
        values: what receivers get.
    """
    try:
        results = signal.send_robust(sender, **values)
    except Exception:  # Django's own logging raises if a failing receiver has no name
        logger.exception("%s: sending the signal failed", subject, extra=fields)
        return []
    return [
        (getattr(receiver, "__qualname__", receiver), result)
        for receiver, result in results
        if isinstance(result, Exception)
    ]
