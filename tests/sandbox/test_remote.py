"""The control client does over HTTP what the sandbox does in its process."""

import pytest
import requests

from django_docraptor.sandbox import Fault, RemoteSandbox, RemoteSandboxError, SettingError


@pytest.fixture(params=["process", "http"])
def handle(request, sandbox):
    """The sandbox itself, and a control of it: both have the same handles."""
    return sandbox if request.param == "process" else RemoteSandbox(sandbox.url)


def test_the_ledger_and_the_requests_are_the_same(caller, sandbox):
    """Equal, field by field; control calls are not recorded."""
    caller.create_and_finish(tag="t")
    control = RemoteSandbox(sandbox.url)
    assert control.ledger == sandbox.ledger
    assert control.calls == sandbox.calls
    assert not any(call.path.startswith("/sandbox") for call in sandbox.calls)


def test_faults_are_added_and_cleared(handle, caller):
    """Added faults are played, cleared ones are not."""
    handle.add_fault(Fault(on="create", action="status", status_code=503, match="x"))
    assert caller.create(tag="x").status_code == 503
    assert [fault["triggered"] for fault in handle.faults] == [1]
    handle.clear_faults()
    assert handle.faults == []
    assert caller.create(tag="x").status_code == 200


def test_settings_change(handle, caller):
    """A change works from the next call on."""
    handle.change_settings(max_concurrent=0, download_limit=1)
    assert caller.create().status_code == 403
    handle.change_settings(max_concurrent=1)
    assert caller.create().status_code == 200


@pytest.mark.parametrize(
    "change", [{"dealy": 1}, {"delay": "1"}, {"delay": -1}, {"renderer": "x"}, {"api_key": 1}]
)
def test_a_bad_setting_is_named(handle, change):
    """The error says which setting, and nothing else is changed."""
    with pytest.raises((SettingError, RemoteSandboxError), match=next(iter(change))):
        handle.change_settings(max_concurrent=0, **change)


def test_a_bad_setting_changes_nothing(handle, caller):
    """All or nothing."""
    with pytest.raises((SettingError, RemoteSandboxError)):
        handle.change_settings(max_concurrent=0, delay="x")
    assert caller.create().status_code == 200


def test_a_reset_forgets_everything(handle, caller):
    """Documents, requests, faults, counters and changed settings are as at the start."""
    handle.change_settings(api_key="other")
    handle.add_fault(Fault(on="create", action="reset"))
    caller.send("GET", "/doc_logs.json")
    handle.reset()
    assert (handle.ledger.entries, handle.ledger.counters) == ((), {})
    assert (handle.calls, handle.faults) == ([], [])
    assert caller.create().status_code == 200


@pytest.mark.parametrize(
    ("body", "text"),
    [("{", "JSON"), ('{"on": "create", "action": "x"}', "action: 'x'"), ('["x"]', "object")],
)
def test_a_bad_fault_is_refused_over_http(caller, sandbox, body, text):
    """400, with an error that names the field; of a list, nothing is planned."""
    response = caller.send("POST", "/sandbox/faults", data=body, auth=None)
    assert response.status_code == 400
    assert text in response.json()["error"]
    assert sandbox.faults == []


def test_one_fault_needs_no_list(caller, sandbox):
    """A single object is accepted."""
    caller.send("POST", "/sandbox/faults", json={"on": "create", "action": "reset"}, auth=None)
    with pytest.raises(requests.ConnectionError):
        caller.create()


def test_unknown_control_calls_are_errors(caller):
    """404 and 405, as JSON."""
    assert caller.send("GET", "/sandbox/nothing").status_code == 404
    assert caller.send("GET", "/sandbox/reset").json() == {"error": "Method Not Allowed"}


def test_settings_are_an_object(caller):
    """A list of settings is refused."""
    response = caller.send("PATCH", "/sandbox/settings", json=["delay"], auth=None)
    assert response.status_code == 400
    assert "object" in response.json()["error"]
