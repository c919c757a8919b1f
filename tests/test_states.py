"""The tables of states are complete, consistent and without dead ends."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import django_docraptor
from django_docraptor import states
from django_docraptor.lifecycle import transitions
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
from tests.support.state_diagram import parse_state_diagram

PACKAGE = Path(django_docraptor.__file__).parent
MOVES = {"move", "move_claimed", "move_all"}


def reachable(start: State) -> set[State]:
    """Return every state that can follow, however late."""
    found: set[State] = set()
    open_states = {start}
    while open_states:
        state = open_states.pop()
        new = TRANSITIONS[state] - found
        found |= new
        open_states |= new
    return found


def test_every_state_is_either_final_or_active() -> None:
    """Every state is final or active, and none is both."""
    assert set(State) == FINAL_STATES | ACTIVE_STATES
    assert not FINAL_STATES & ACTIVE_STATES


def test_three_states_are_final() -> None:
    """Completed, failed and cancelled jobs are finished."""
    assert {State.COMPLETED, State.FAILED, State.CANCELLED} == FINAL_STATES


def test_transitions_name_known_states_only() -> None:
    """Every state has a row, and every row leads to known states."""
    assert set(TRANSITIONS) == set(State)
    assert set().union(*TRANSITIONS.values()) <= set(State)


@pytest.mark.parametrize("state", sorted(ACTIVE_STATES))
def test_active_state_can_fail_be_cancelled_and_complete(state: State) -> None:
    """An unfinished job can fail, be cancelled and, on some way, be completed."""
    assert {State.FAILED, State.CANCELLED} <= TRANSITIONS[state]
    assert State.COMPLETED in reachable(state)


@pytest.mark.parametrize("state", sorted(ACTIVE_STATES))
def test_active_state_has_a_lease(state: State) -> None:
    """A claim on an unfinished job expires."""
    assert LEASE_SECONDS[state] > 0


@pytest.mark.parametrize("state", sorted(State))
def test_no_state_follows_itself(state: State) -> None:
    """A job cannot be moved to the state that it has."""
    assert not is_allowed(state, state)


@pytest.mark.parametrize("state", [State.COMPLETED, State.CANCELLED])
def test_completed_and_cancelled_jobs_never_change(state: State) -> None:
    """Completed and cancelled jobs keep their state."""
    assert TRANSITIONS[state] == frozenset()


def test_only_pending_jobs_are_submitted() -> None:
    """The state in which a document may be billed is entered from pending only."""
    assert [state for state in State if is_allowed(state, State.SUBMITTING)] == [State.PENDING]


def test_no_response_moves_a_job_back() -> None:
    """A document that DocRaptor has leads back only after a failure and a retry.

    Except to PENDING, if DocRaptor refuses all documents of the account: it has made nothing.
    """
    before = {State.SUBMITTING, State.UNCONFIRMED}
    assert not TRANSITIONS[State.WORKING] & (before | {State.QUEUED})
    assert not TRANSITIONS[State.QUEUED] & before
    assert not TRANSITIONS[State.DOWNLOADING] & (before | POLLED_STATES | {State.PENDING})


@pytest.mark.parametrize("reason", sorted(RESUME_STATES))
def test_resume_states_are_allowed_after_a_failure(reason: str) -> None:
    """A failed job may be moved to every state that a retry resumes."""
    assert is_allowed(State.FAILED, RESUME_STATES[reason])
    assert reason in set(ErrorCode)


def test_error_codes_fit_their_column() -> None:
    """Every error code is stored whole."""
    assert max(map(len, ErrorCode)) <= 32
    assert set(ErrorCode) >= POSSIBLY_BILLED_CODES


# --- the diagram -----------------------------------------------------------------------------


def attributes(tree: ast.AST) -> Iterator[str]:
    """Yield the names of all attributes that the code uses."""
    yield from (node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute))


def moving_functions() -> set[str]:
    """Return the functions of the transitions that move jobs, directly or through another one."""
    tree = ast.parse(Path(transitions.__file__).read_text())
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    calls = {
        name: {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
        for name, function in functions.items()
    }
    moving = {name for name, function in functions.items() if MOVES & set(attributes(function))}
    while more := {name for name in functions if calls[name] & moving} - moving:
        moving |= more
    return moving


def test_diagram_has_every_transition() -> None:
    """The arrows of the diagram are the transitions of the table, no more and no less."""
    diagram = parse_state_diagram(states.__doc__ or "")
    assert set().union(*diagram.values()) == {
        (before, after) for before in State for after in TRANSITIONS[before]
    }


def test_diagram_names_the_functions_of_the_transitions() -> None:
    """Every public function that moves a job has its arrows, and every arrow has its function."""
    public = {name for name in moving_functions() if not name.startswith("_")}
    assert set(parse_state_diagram(states.__doc__ or "")) == public


def test_only_transitions_move_jobs() -> None:
    """No other module of the package calls RenderJob.move() or RenderJob.move_all()."""
    callers = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if MOVES & set(attributes(ast.parse(path.read_text())))
    }
    assert callers - {"models/jobs.py"} == {"lifecycle/transitions.py"}


def test_diagram_in_a_page_is_parsed() -> None:
    """The diagram may stand in a Markdown block, and a line without a function continues it."""
    page = """
        a ─► b

        ```
        begin_attempts   PENDING               ─► SUBMITTING  the intent is committed
        mark_accepted    SUBMITTING            ─► QUEUED
                         UNCONFIRMED           ─► QUEUED      … late
        fail             any unfinished state  ─► FAILED
        ```
        c ─► d
    """
    assert parse_state_diagram(page) == {
        "begin_attempts": {(State.PENDING, State.SUBMITTING)},
        "mark_accepted": {(State.SUBMITTING, State.QUEUED), (State.UNCONFIRMED, State.QUEUED)},
        "fail": {(state, State.FAILED) for state in ACTIVE_STATES},
    }


@pytest.mark.parametrize("text", ["", "begin_attempts  PENDING -> SUBMITTING"])
def test_text_without_a_diagram_is_refused(text: str) -> None:
    """A page that has lost its diagram, or a line of it, is noticed."""
    with pytest.raises(ValueError, match="diagram"):
        parse_state_diagram(text)
