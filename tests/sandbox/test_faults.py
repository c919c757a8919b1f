"""Faults: validation, when they are triggered, and JSON."""

import pytest

from django_docraptor.sandbox import Fault, FaultError
from django_docraptor.sandbox.fault_responses import MODIFIERS, REPLACEMENTS
from django_docraptor.sandbox.faults import ACTIONS, FaultList
from django_docraptor.sandbox.log_faults import DISTORTIONS


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"on": "lunch", "action": "status"}, "on"),
        ({"on": "create", "action": "explode"}, "action"),
        ({"on": "create"}, "action"),
        ({"on": "create", "action": "bomb"}, "action"),
        ({"on": "create", "action": "status", "status_code": 99}, "status_code"),
        ({"on": "create", "action": "status", "status_code": "500"}, "status_code"),
        ({"on": "create", "action": "status", "body": "yaml"}, "body"),
        ({"on": "create", "action": "status", "rate": 2}, "rate"),
        ({"on": "create", "action": "status", "times": True}, "times"),
        ({"on": "create", "action": "status", "after": -1}, "after"),
        ({"on": "create", "action": "cut", "mode": "sideways"}, "mode"),
        ({"on": "create", "action": "redirect"}, "location"),
        ({"on": "download", "action": "cut", "accept": False}, "accept"),
        ({"on": "create", "action": "status", "colour": "red"}, "colour"),
    ],
)
def test_error_of_an_invalid_fault_names_its_field(data, field):
    """The message begins with the name of the invalid field."""
    with pytest.raises(FaultError, match=rf"^{field}: "):
        Fault.from_json(data)


def test_fault_must_be_a_json_object():
    """Other JSON values are rejected."""
    with pytest.raises(FaultError, match="JSON object"):
        Fault.from_json("reset")


def test_fault_survives_json():
    """Converting a fault to JSON and back returns an equal fault."""
    fault = Fault(on="download", action="cut", mode="chunked", match="x", times=3, keep_bytes=7)
    assert Fault.from_json(fault.as_json()) == fault


def test_every_action_is_implemented():
    """Every action that a fault may have is implemented."""
    elsewhere = {"callback_first", "same_id", "wrong_type"}
    calls = ("create", "status", "download", "logs", "expire")
    answers = {action for on in calls for action in ACTIONS[on]}
    assert answers == set(REPLACEMENTS) | set(MODIFIERS) | set(DISTORTIONS) | elsewhere


def trigger_times(faults, times, *labels):
    """Return which of so many calls trigger a fault."""
    return [faults.trigger("create", *labels) is not None for _ in range(times)]


def test_times_and_after_count_matching_calls():
    """`after` matching calls pass, `times` calls trigger the fault, all others pass."""
    faults = FaultList()
    faults.add(Fault(on="create", action="reset", match="x", after=1, times=2))
    assert trigger_times(faults, 2, "y") == [False, False]
    assert trigger_times(faults, 4, "x") == [False, True, True, False]
    assert (faults.as_json()[0]["matched"], faults.as_json()[0]["triggered"]) == (4, 2)


def test_rate_is_the_share_of_calls_that_trigger():
    """Rate 0 triggers never, 1 always, and 0.5 about every other time."""
    shares = {}
    for rate in (0.0, 0.5, 1.0):
        faults = FaultList()
        faults.add(Fault(on="create", action="reset", rate=rate))
        shares[rate] = sum(trigger_times(faults, 1000)) / 1000
    assert shares[0.0] == 0
    assert shares[1.0] == 1
    assert 0.4 < shares[0.5] < 0.6


def test_first_fault_that_is_due_is_triggered():
    """An exhausted fault gives way to the next."""
    faults = FaultList()
    faults.add(
        Fault(on="create", action="reset", times=1), Fault(on="create", action="close", times=1)
    )
    actions = [fault and fault.action for fault in (faults.trigger("create") for _ in range(3))]
    assert actions == ["reset", "close", None]


def test_fault_with_match_ignores_calls_without_a_document():
    """A call with an unknown ID matches no fault with `match`."""
    faults = FaultList()
    faults.add(Fault(on="status", action="reset", match="x"))
    assert faults.trigger("status") is None
