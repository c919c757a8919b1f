"""Time zones as text: what is stored can be restored, and nothing else is stored."""

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest
from django.utils.timezone import get_fixed_timezone

from django_docraptor.time_zones import is_zone_text, text_to_zone, zone_to_text

SUMMER, WINTER = datetime(2026, 7, 1, 12, tzinfo=UTC), datetime(2026, 1, 1, 12, tzinfo=UTC)


class Shifted(tzinfo):
    """A time zone of another library: no name, two hours ahead, three in summer if it has one."""

    def __init__(self, *, has_summer: bool) -> None:
        self.has_summer = has_summer

    def utcoffset(self, moment: datetime | None) -> timedelta:
        is_summer = self.has_summer and moment is not None and 4 <= moment.month <= 9
        return timedelta(hours=3 if is_summer else 2)

    def dst(self, moment: datetime | None) -> timedelta:
        return self.utcoffset(moment) - timedelta(hours=2)

    def tzname(self, moment: datetime | None) -> str:
        return "shifted"

    def __str__(self) -> str:
        return f"{type(self).__name__}-{self.has_summer}"


class Named(Shifted):
    """A time zone of pytz, which has its name in `zone`."""

    zone = "Europe/Helsinki"


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        (UTC, "UTC"),
        (ZoneInfo("UTC"), "UTC"),
        (ZoneInfo("Etc/GMT-2"), "Etc/GMT-2"),
        (ZoneInfo("Europe/Vienna"), "Europe/Vienna"),
        (timezone(timedelta(hours=2)), "+02:00"),
        (timezone(timedelta(hours=-3, minutes=-30), "NST"), "-03:30"),
        (timezone(timedelta(minutes=-30)), "-00:30"),
        (timezone(timedelta(hours=1, seconds=5)), "+01:00:05"),
        (timezone(timedelta(microseconds=1)), "+00:00:00.000001"),
        (timezone(timedelta(hours=23, minutes=59)), "+23:59"),
        (get_fixed_timezone(90), "+01:30"),
        (get_fixed_timezone(0), "UTC"),
        (Shifted(has_summer=False), "+02:00"),
        (Named(has_summer=True), "Europe/Helsinki"),
    ],
    ids=str,
)
def test_time_zone_is_restored_from_its_text(zone: tzinfo, text: str) -> None:
    """The restored time zone has the same offset in summer and in winter."""
    assert zone_to_text(zone) == text
    assert is_zone_text(text)
    restored = text_to_zone(text)
    for moment in (SUMMER, WINTER):
        assert (
            moment.replace(tzinfo=restored).utcoffset() == moment.replace(tzinfo=zone).utcoffset()
        )


def test_nameless_zone_with_daylight_saving_has_no_text() -> None:
    """Its offset of today would be wrong for dates of the other season."""
    assert zone_to_text(Shifted(has_summer=True)) == ""


@pytest.mark.parametrize(
    "text",
    [
        *("", "+2", "+02", "+0200", "02:00", "+24:00", "-25:00", "+02:60", "+02:00 ", "+02:00\n"),
        *("UTC+02:00", "Mars/Olympus", "Europe", "../etc/passwd", "Europe/" + "x" * 60, None, 2),
        timezone(timedelta(hours=2)),
    ],
    ids=repr,
)
def test_other_values_are_no_time_zones(text: object) -> None:
    """Only a known name or an offset in this form is a time zone."""
    assert not is_zone_text(text)
