"""Contents, and what preflight says of them."""

import datetime as dt
import time
from collections.abc import Callable

from django.core.exceptions import ValidationError

from django_docraptor.payloads import PrinceOptions
from django_docraptor.preflight import check_content, find_problems
from tests.support.document_requests import make_request

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def refusal(content, **options):
    """What check_content says against the content, blank if nothing."""
    try:
        request = make_request(content=content, prince_options=PrinceOptions(**options))
        check_content(request, max_bytes=10_000_000)
    except ValidationError as error:
        (message,) = error.message_dict["content"]
        return message
    return ""


def found(html, **options):
    """The problems of HTML that goes to DocRaptor itself."""
    return find_problems(html, **{"allow_private": False, "now": NOW} | options)


def slowdown(look: Callable[[int], object], count: int) -> float:
    """How many times longer eight times as much takes: 8 where time goes with length, 64 with its
    square.
    """
    spent = []
    for size in (count, 8 * count):
        started = time.process_time()
        look(size)
        spent.append(time.process_time() - started)
    return spent[1] / spent[0]


def marks(count: int) -> str:
    """What takes Unicode's normal form the longest: marks in the wrong order."""
    return "\u0301" * count + "\u0327" * count
