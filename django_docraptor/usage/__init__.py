"""Internal. What was used and billed, by day, account, document and owner.

The tick sums the history up in :class:`UsageDay` (``sums``). What is newer is counted on demand
(``reports``), in the same way (``histories``). ``billing`` says what counts.
docs/explanation/design.md says why it is not written by each job's transaction.
"""

from django_docraptor.usage.histories import histories, owner_key
from django_docraptor.usage.reports import (
    ACCOUNT,
    DAY,
    DOCUMENT,
    GROUPS,
    OWNER,
    UsageLine,
    UsageReport,
    billed_and_free,
    billed_since,
    read_usage,
)
from django_docraptor.usage.sums import (
    count_before_deletion,
    count_row,
    counted,
    fold,
    forget_owner,
)

__all__ = [
    "ACCOUNT",
    "DAY",
    "DOCUMENT",
    "GROUPS",
    "OWNER",
    "UsageLine",
    "UsageReport",
    "billed_and_free",
    "billed_since",
    "count_before_deletion",
    "count_row",
    "counted",
    "fold",
    "forget_owner",
    "histories",
    "owner_key",
    "read_usage",
]
