"""`make chaos`: run a complete site under fault injection, then audit the result.

Processes are killed and frozen, brokers flushed, and DocRaptor's responses broken. Workers, beat,
web server, broker and database are real; a sandbox replaces DocRaptor, and its ledger is the
reference. ``--baseline`` runs a plain Celery task under the same conditions.

The app's waiting times are divided by SPEED (`time_scale`), so that the 22 minutes of waiting for
an unconfirmed create fit into a short run. The code that waits is the same.
"""

SPEED = 30
