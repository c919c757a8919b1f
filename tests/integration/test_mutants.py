"""Every mutant can be made: its code occurs once, and its test exists."""

import pytest

from tests.mutants import MUTATIONS, Mutation, find_problems

pytestmark = pytest.mark.once


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_mutant_can_be_made(mutation: Mutation) -> None:
    """After a change of the code or of a test's name, the mutant must follow."""
    assert list(find_problems(mutation)) == []


@pytest.mark.parametrize(
    ("file", "old", "test", "problem"),
    [
        ("none.py", "x", "tests/mutants/table.py", "'x' occurs 0 times in none.py"),
        ("spool.py", "no such code", "tests/mutants/table.py", "occurs 0 times in spool.py"),
        ("spool.py", "def ", "tests/mutants/table.py", "times in spool.py"),
        ("apps.py", "class ", "tests/none.py", "tests/none.py does not exist"),
        ("apps.py", "class ", "tests/mutants/table.py::test_none", "has no test test_none"),
    ],
)
def test_problem_is_found(file: str, old: str, test: str, problem: str) -> None:
    """Missing or ambiguous code, a missing file and a missing test are reported."""
    (found,) = find_problems(Mutation("name", file, old, "", test))
    assert problem in found
