"""Durations as text: one unit, in words."""

import pytest

from django_docraptor.durations import format_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 seconds"),
        (0, "0 seconds"),
        (1, "1 second"),
        (119, "119 seconds"),
        (120, "2 minutes"),
        (300, "5 minutes"),
        (7_199, "120 minutes"),
        (7_200, "2 hours"),
        (44_614 * 60, "31 days"),
        (172_799, "48 hours"),
        (172_800, "2 days"),
    ],
)
def test_duration_is_in_the_largest_unit_of_which_it_has_two(seconds: float, text: str) -> None:
    """A month is not told in minutes."""
    assert format_duration(seconds) == text
