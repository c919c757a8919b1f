"""How long to wait between polls."""

from random import Random
from statistics import fmean

import pytest

from django_docraptor.lifecycle import pacing
from django_docraptor.lifecycle.pacing import poll_interval


@pytest.mark.parametrize(("render", "calls"), [(5, 6), (60, 20), (600, 40)])
def test_poll_interval_needs_few_calls(render: float, calls: int, monkeypatch) -> None:
    """Polling needs few calls, and the wait after the end is a small share of the render time."""
    monkeypatch.setattr(pacing, "random", Random(20))
    seen = [_poll_render(render) for _ in range(400)]
    assert fmean(made for made, _ in seen) <= calls
    assert max(made for made, _ in seen) <= 1.2 * calls
    assert fmean(wait for _, wait in seen) <= max(0.75, 0.11 * render)
    assert max(wait for _, wait in seen) <= max(1.4, 0.22 * render)


def _poll_render(render: float) -> tuple[int, float]:
    """Return the calls until a render is seen to have ended, and the wait after its end."""
    age, made = 0.0, 0
    while age < render:
        age += poll_interval(age)
        made += 1
    return made, age - render
