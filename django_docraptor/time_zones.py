"""Internal. Time zones as text: a name such as ``Europe/Vienna``, or an offset such as ``+02:00``.

A job stores this text, and a worker restores the time zone from it.
"""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

# Length of the `time_zone` column.
MAX_LENGTH: Final = 64
OFFSET: Final = r"[+-][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{6})?)?"
# Days from now at which a time zone without a name must have the same offset: an offset stored in
# summer would be wrong for a time in winter.
SEASONS: Final = (0, 91, 182, 273)


def zone_to_text(zone: tzinfo) -> str:
    """Return the text from which a worker restores a time zone; "" if there is none.

    There is none for a time zone that has neither a name nor a fixed offset.
    """
    if zone == UTC:
        return "UTC"
    for name in (getattr(zone, "key", None), getattr(zone, "zone", None)):  # zoneinfo, pytz
        if isinstance(name, str) and is_zone_text(name):
            return name
    return _fixed_offset_text(zone)


def text_to_zone(text: str) -> tzinfo:
    """Return the time zone that a text names.

    Raises:
        ValueError, KeyError, OSError: it does not name one.
    """
    if re.fullmatch(OFFSET, text):
        return timezone(datetime.strptime(text, "%z").utcoffset() or timedelta(0))
    return ZoneInfo(text)


def is_zone_text(text: object) -> bool:
    """Return whether a text names a time zone and can be stored."""
    try:
        return isinstance(text, str) and len(text) <= MAX_LENGTH and _names_zone(text)
    except (KeyError, ValueError, OSError):  # unknown name, invalid path, or a directory
        return False


def _names_zone(text: str) -> bool:
    zone = text_to_zone(text)
    return not isinstance(zone, ZoneInfo) or zone.key == text


def _fixed_offset_text(zone: tzinfo) -> str:
    now = datetime.now().replace(tzinfo=zone)  # noqa: DTZ005 - any time of the year will do
    offsets = {(now + timedelta(days=days)).utcoffset() for days in SEASONS}
    offset = offsets.pop()
    if offsets or offset is None:
        return ""
    return str(timezone(offset)).removeprefix("UTC") or "UTC"
