"""What the tests of all probes use: settings of this app, and the results of a probe as text."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from django_docraptor.diagnosis.results import Result

Configure = Callable[..., None]


@pytest.fixture
def configure(settings: Any) -> Configure:
    """A function that changes keys of DOCRAPTOR."""

    def change(**values: Any) -> None:
        settings.DOCRAPTOR = settings.DOCRAPTOR | values

    return change


def statuses(results: Iterable[Result]) -> list[tuple[str, str]]:
    """Return name and status of each result."""
    return [(result.name, result.status.value) for result in results]


def only(results: Iterable[Result]) -> tuple[str, str]:
    """Return status and text of the only result."""
    (result,) = results
    return result.status.value, result.text
