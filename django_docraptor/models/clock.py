"""Internal. Times by the database's clock."""

from datetime import timedelta
from typing import Any

from django.db.models.functions import Now


def seconds_from_now(seconds: float) -> Any:
    """Return the time in ``seconds`` from now, as a database expression.

    It goes by the database's clock, because the clocks of hosts may differ.
    """
    return Now() + timedelta(seconds=seconds)
