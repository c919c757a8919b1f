"""Mutation testing: break each guard and check that a given test fails.

``python -m tests.mutants`` breaks each guard in a copy of the code, and prints a table; the exit
status is 1 if a mutant survives. With ``--check`` it only checks that the code to break occurs
once, and that the tests exist.
"""

from tests.mutants.runner import find_problems
from tests.mutants.table import MUTATIONS, Mutation

__all__ = ["MUTATIONS", "Mutation", "find_problems"]
