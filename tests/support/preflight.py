"""Content, and the problems that preflight finds in it."""

import datetime as dt
import math
import time
from collections.abc import Callable

from django.core.exceptions import ValidationError

from django_docraptor.payloads import PrinceOptions
from django_docraptor.preflight import check_content, find_problems
from tests.support.document_requests import make_request

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def content_error(content, **options):
    """Return the message of check_content for this content, or an empty string."""
    try:
        request = make_request(content=content, prince_options=PrinceOptions(**options))
        check_content(request, max_bytes=10_000_000)
    except ValidationError as error:
        (message,) = error.message_dict["content"]
        return message
    return ""


def problems_in(html, **options):
    """Return the problems of HTML that is sent to DocRaptor itself."""
    return find_problems(html, **{"allow_private": False, "now": NOW} | options)


# The ratio that `slowdown` returns, if the time grows with the size of the input, is below this.
LINEAR = 24


def slowdown(look: Callable[[int], object], count: int) -> float:
    """Return how many times longer an input of eight times the size takes.

    It is 8 if the time grows with the size, and 64 if it grows with its square. A busy machine
    disturbs a measurement, never several: the least of up to four is returned.
    """
    least = math.inf
    for _ in range(4):
        spent = []
        for size in (count, 8 * count):
            started = time.process_time()
            look(size)
            spent.append(time.process_time() - started)
        least = min(least, spent[1] / spent[0])
        if least < LINEAR:
            break
    return least


def unordered_marks(count: int) -> str:
    """Return combining marks in the wrong order, which take longest to normalise."""
    return "\u0301" * count + "\u0327" * count
