"""The fault matrix of the documentation has a test for each fault, and a row for each marker."""

from functools import cache

import pytest

from tests.fault_matrix import PAGE, names_column, read_faults, updated_page
from tests.support.markers import names_by_code

pytestmark = pytest.mark.once

FAULTS = read_faults()


@cache
def marked() -> dict[str, list[str]]:
    """The names of the tests by the code of a fault."""
    return names_by_code("fault")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.code)
def test_fault_has_its_tests(fault) -> None:
    """The row's tests exist and are exactly those that are marked with its code."""
    expected = sorted(marked().get(fault.code, []))
    assert expected, f"no test is marked with @pytest.mark.fault({fault.code!r})"
    assert list(fault.tests) == expected, (
        f"update the last column (python -m tests.fault_matrix does it): {names_column(expected)}"
    )


def test_every_marker_has_a_row() -> None:
    """A code in a marker is a row of the table."""
    assert set(marked()) - {fault.code for fault in FAULTS} == set()


def test_codes_are_unique_and_numbered() -> None:
    """Each letter's codes are numbered from 1 without a gap."""
    codes = [fault.code for fault in FAULTS]
    letters = dict.fromkeys(code[0] for code in codes)
    numbered = [
        f"{letter}{number}"
        for letter in letters
        for number in range(1, sum(code[0] == letter for code in codes) + 1)
    ]
    assert codes == numbered


def test_every_row_says_what_happens() -> None:
    """Each row has a fault and an outcome in words."""
    assert [fault.code for fault in FAULTS if not (fault.fault and fault.outcome)] == []


def test_page_is_up_to_date() -> None:
    """Rewriting the last column changes nothing."""
    assert PAGE.read_text() == updated_page(), "run python -m tests.fault_matrix"
