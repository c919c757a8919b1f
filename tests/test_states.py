"""The tables of states: closed, complete, and without dead ends."""

import pytest

from django_docraptor.states import (
    ACTIVE_STATES,
    FINAL_STATES,
    LEASE_SECONDS,
    POLLED_STATES,
    POSSIBLY_BILLED_CODES,
    RESUME_STATES,
    TRANSITIONS,
    ErrorCode,
    State,
    is_allowed,
)


def reachable(start: State) -> set[State]:
    """Every state that can follow, however late."""
    found: set[State] = set()
    open_states = {start}
    while open_states:
        state = open_states.pop()
        new = TRANSITIONS[state] - found
        found |= new
        open_states |= new
    return found


def test_final_and_active_are_all() -> None:
    """Every state is final or active, and none is both."""
    assert set(State) == FINAL_STATES | ACTIVE_STATES
    assert not FINAL_STATES & ACTIVE_STATES


def test_final_states() -> None:
    """These three end a job."""
    assert {State.COMPLETED, State.FAILED, State.CANCELLED} == FINAL_STATES


def test_transitions_are_closed() -> None:
    """Every state has its row, and every row leads to states."""
    assert set(TRANSITIONS) == set(State)
    assert set().union(*TRANSITIONS.values()) <= set(State)


@pytest.mark.parametrize("state", sorted(ACTIVE_STATES))
def test_active_state_can_end(state: State) -> None:
    """An unfinished job can be given up, cancelled and, by some way, completed."""
    assert {State.FAILED, State.CANCELLED} <= TRANSITIONS[state]
    assert State.COMPLETED in reachable(state)


@pytest.mark.parametrize("state", sorted(ACTIVE_STATES))
def test_active_state_has_a_lease(state: State) -> None:
    """A claim on an unfinished job ends by itself."""
    assert LEASE_SECONDS[state] > 0


@pytest.mark.parametrize("state", sorted(State))
def test_no_state_follows_itself(state: State) -> None:
    """A move is a change: nothing may be moved to where it is."""
    assert not is_allowed(state, state)


@pytest.mark.parametrize("state", [State.COMPLETED, State.CANCELLED])
def test_nothing_leaves_the_end(state: State) -> None:
    """Completed and cancelled jobs stay so."""
    assert TRANSITIONS[state] == frozenset()


def test_only_a_submission_leads_to_the_wire() -> None:
    """The state in which a bill can arise is entered from PENDING alone."""
    assert [state for state in State if is_allowed(state, State.SUBMITTING)] == [State.PENDING]


def test_no_late_answer_moves_a_job_back() -> None:
    """Once DocRaptor has a document, only a failure and a retry lead back."""
    before = {State.PENDING, State.SUBMITTING, State.UNCONFIRMED}
    assert not TRANSITIONS[State.WORKING] & (before | {State.QUEUED})
    assert not TRANSITIONS[State.QUEUED] & before
    assert not TRANSITIONS[State.DOWNLOADING] & (before | POLLED_STATES)


@pytest.mark.parametrize("reason", sorted(RESUME_STATES))
def test_resumption_is_allowed(reason: str) -> None:
    """Where a retry takes up a failed attempt, a failed job may go."""
    assert is_allowed(State.FAILED, RESUME_STATES[reason])
    assert reason in set(ErrorCode)


def test_reasons_fit_their_column() -> None:
    """Every reason is stored whole."""
    assert max(map(len, ErrorCode)) <= 32
    assert set(ErrorCode) >= POSSIBLY_BILLED_CODES
