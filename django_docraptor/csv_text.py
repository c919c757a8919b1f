"""Internal. Text in CSV files that people open with a spreadsheet."""

from typing import Any, Final

# A spreadsheet takes a text that begins with one of these for a formula.
FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


def safe_cell(value: Any) -> str:
    """Return a value as text that no spreadsheet takes for a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
