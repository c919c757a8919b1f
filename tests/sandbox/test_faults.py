"""Faults as data: what is refused, whose turn it is, how they travel."""

import pytest

from django_docraptor.sandbox import Fault, FaultError
from django_docraptor.sandbox.fault_responses import CHANGES, INSTEAD
from django_docraptor.sandbox.faults import ACTIONS, FaultList


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
def test_a_bad_fault_names_its_field(data, field):
    """The error begins with the name of the field that is wrong."""
    with pytest.raises(FaultError, match=rf"^{field}: "):
        Fault.from_json(data)


def test_a_fault_is_an_object():
    """A list or a string is no fault."""
    with pytest.raises(FaultError, match="JSON object"):
        Fault.from_json("reset")


def test_a_fault_travels_as_json():
    """What arrives is what was sent."""
    fault = Fault(on="download", action="cut", mode="chunked", match="x", times=3, keep_bytes=7)
    assert Fault.from_json(fault.as_json()) == fault


def test_every_action_of_an_answer_can_be_played():
    """No action is accepted that nothing plays."""
    elsewhere = {"callback_first", "wrong_type", "omit"}
    answers = {action for on in ("create", "status", "download", "logs") for action in ACTIONS[on]}
    assert answers == set(INSTEAD) | set(CHANGES) | elsewhere


def taken(faults, times, *labels):
    """Return which of so many calls are hit."""
    return [faults.trigger("create", *labels) is not None for _ in range(times)]


def test_times_and_after_count_matching_calls():
    """`after` calls pass, `times` calls are hit, the rest passes."""
    faults = FaultList()
    faults.add(Fault(on="create", action="reset", match="x", after=1, times=2))
    assert taken(faults, 2, "y") == [False, False]
    assert taken(faults, 4, "x") == [False, True, True, False]
    assert (faults.as_json()[0]["matched"], faults.as_json()[0]["triggered"]) == (4, 2)


def test_rate_hits_a_share_of_the_calls():
    """rate 0 hits nothing, 1 everything, a half about a half."""
    shares = {}
    for rate in (0.0, 0.5, 1.0):
        faults = FaultList()
        faults.add(Fault(on="create", action="reset", rate=rate))
        shares[rate] = sum(taken(faults, 1000)) / 1000
    assert shares[0.0] == 0
    assert shares[1.0] == 1
    assert 0.4 < shares[0.5] < 0.6


def test_the_first_fault_that_is_due_is_played():
    """A spent fault gives way to the next."""
    faults = FaultList()
    faults.add(
        Fault(on="create", action="reset", times=1), Fault(on="create", action="close", times=1)
    )
    actions = [fault and fault.action for fault in (faults.trigger("create") for _ in range(3))]
    assert actions == ["reset", "close", None]


def test_a_fault_with_match_spares_calls_without_document():
    """An unknown id matches no fault that names a document."""
    faults = FaultList()
    faults.add(Fault(on="status", action="reset", match="x"))
    assert faults.trigger("status") is None
