"""Moments by the database's clock. Knows no rows."""

from datetime import timedelta
from typing import Any

from django.db.models.functions import Now


def after(seconds: float) -> Any:
    """So many seconds from now, by the database's clock: hosts' clocks may differ."""
    return Now() + timedelta(seconds=seconds)
