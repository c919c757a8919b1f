"""A small ``python -m benchmarks.growth``: what it counts, never how long it takes."""

from xml.etree import ElementTree

import pytest

from benchmarks.growth.__main__ import plot, table
from benchmarks.growth.measure import PROBES, measure


@pytest.mark.parametrize(
    "database",
    ["sqlite", pytest.param("postgresql", marks=pytest.mark.services("postgresql"))],
)
def test_growth(database: str) -> None:
    """Every operation at every size, a prune of as many jobs as asked, a table and a picture."""
    told: list[str] = []
    found = measure(
        database,
        sizes=(200, 1000),
        in_flight=(10, 100),
        pruned=50,
        turns=1,
        repeats=1,
        say=told.append,
    )
    assert set(found["scale_ratio"]) == set(PROBES)
    assert {size: set(row) for size, row in found["history"].items()} == {
        "200": set(PROBES),
        "1000": set(PROBES),
    }
    assert set(found["in_flight"]) == {"10", "100"}
    prune = found["prune"]
    assert (prune["of"], prune["jobs"], prune["files"]) == (1000, 50, 48)
    assert any("1,000 jobs" in line for line in told)
    assert all(name in table(found) for name in PROBES)
    assert ElementTree.fromstring(plot({database: found})).tag.endswith("svg")
