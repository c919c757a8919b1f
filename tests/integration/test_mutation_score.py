"""The sample of the mutation score, and the list of the mutants that no test can kill."""

import pytest

import django_docraptor
from tests.mutation_score.equivalent import EQUIVALENT, Equivalent
from tests.mutation_score.sampling import choose, interval
from tests.support.markdown import ROOT

MUTANTS = {
    "large": [f"large-{number}" for number in range(100)],
    "small": [f"small-{number}" for number in range(20)],
}


def test_sample_is_reproducible() -> None:
    """The same seed chooses the same mutants, and another one chooses others."""
    assert choose(MUTANTS, 12, seed=1) == choose(MUTANTS, 12, seed=1)
    assert choose(MUTANTS, 12, seed=1) != choose(MUTANTS, 12, seed=2)


def test_larger_sample_contains_the_smaller() -> None:
    """What has run for a small sample counts for a larger one, too."""
    assert set(choose(MUTANTS, 12, seed=1)) < set(choose(MUTANTS, 60, seed=1))


def test_every_module_has_its_share() -> None:
    """A module with a sixth of all mutants has a sixth of the sample."""
    sample = choose(MUTANTS, 60, seed=1)
    assert len(sample) == 60
    assert sum(name.startswith("small") for name in sample) == 10


def test_sample_has_at_most_all_mutants() -> None:
    """If there are fewer mutants than asked for, all are chosen."""
    assert sorted(choose(MUTANTS, 1000, seed=1)) == sorted(MUTANTS["large"] + MUTANTS["small"])


@pytest.mark.parametrize(
    ("killed", "judged", "low", "high"),
    [(90, 100, 0.826, 0.945), (10, 10, 0.722, 1.0), (0, 10, 0.0, 0.278), (0, 0, 0.0, 1.0)],
)
def test_interval_is_wilsons(killed: int, judged: int, low: float, high: float) -> None:
    """The interval is that of Wilson, which stays between 0 and 1; no mutants say nothing."""
    assert interval(killed, judged) == pytest.approx((low, high), abs=0.001)


@pytest.mark.parametrize("mutant", EQUIVALENT, ids=lambda mutant: f"{mutant.module}: {mutant.new}")
def test_code_of_an_equivalent_mutant_exists(mutant: Equivalent) -> None:
    """After a change of the code, the list must follow."""
    package = ROOT / django_docraptor.__name__
    lines = (package / (mutant.module.replace(".", "/") + ".py")).read_text().splitlines()
    assert set(mutant.old.splitlines()) <= {line.strip() for line in lines}
