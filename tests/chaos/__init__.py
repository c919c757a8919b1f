"""`make chaos`: a whole site under random kills, freezes, flushes and faults, and its account.

Real workers, beat, web server, broker and database; a sandbox in DocRaptor's place, whose ledger
is the oracle. ``--naive`` puts the usual Celery task through the same.

The app's own waits are divided by SPEED (`faster`), so that half an hour of waiting for an
unconfirmed create fits into a run of minutes; the code that waits is the same.
"""

SPEED = 30
