"""The mutation score: of the mutants that mutmut makes of the engine, how many the tests kill.

``python -m tests.mutation_score --sample 300 --seed 1`` runs a random sample of them, and prints
the score with its confidence interval. `tests.mutants` is the complement: a table of guards, each
with the test that must fail.
"""
