"""RemoteSandbox has the interface of Sandbox, over HTTP."""

import pytest
import requests

from django_docraptor.sandbox import Fault, RemoteSandbox, RemoteSandboxError, SettingError


@pytest.fixture(params=["process", "http"])
def any_sandbox(request, sandbox):
    """The sandbox itself, and a RemoteSandbox for it."""
    return sandbox if request.param == "process" else RemoteSandbox(sandbox.url)


def test_ledger_and_calls_are_the_same_in_both(client, sandbox):
    """Both return equal values; calls under /sandbox/ are not recorded."""
    client.create_and_finish(tag="t")
    control = RemoteSandbox(sandbox.url)
    assert control.ledger == sandbox.ledger
    assert control.calls == sandbox.calls
    assert not any(call.path.startswith("/sandbox") for call in sandbox.calls)


def test_faults_are_added_and_cleared(any_sandbox, client):
    """Added faults are triggered until they are cleared."""
    any_sandbox.add_fault(Fault(on="create", action="status", status_code=503, match="x"))
    assert client.create(tag="x").status_code == 503
    assert [fault["triggered"] for fault in any_sandbox.faults] == [1]
    any_sandbox.clear_faults()
    assert any_sandbox.faults == []
    assert client.create(tag="x").status_code == 200


def test_settings_are_changed(any_sandbox, client):
    """A change applies from the next call on."""
    any_sandbox.change_settings(max_concurrent=0, download_limit=1)
    assert client.create().status_code == 403
    any_sandbox.change_settings(max_concurrent=1)
    assert client.create().status_code == 200


@pytest.mark.parametrize(
    "change", [{"dealy": 1}, {"delay": "1"}, {"delay": -1}, {"renderer": "x"}, {"api_key": 1}]
)
def test_invalid_setting_is_named(any_sandbox, change):
    """The error names the setting."""
    with pytest.raises((SettingError, RemoteSandboxError), match=next(iter(change))):
        any_sandbox.change_settings(max_concurrent=0, **change)


def test_invalid_setting_changes_nothing(any_sandbox, client):
    """If one setting is invalid, the others are not changed either."""
    with pytest.raises((SettingError, RemoteSandboxError)):
        any_sandbox.change_settings(max_concurrent=0, delay="x")
    assert client.create().status_code == 200


def test_reset_restores_the_initial_state(any_sandbox, client):
    """Documents, calls, faults and counters are deleted, and settings are restored."""
    any_sandbox.change_settings(api_key="other")
    any_sandbox.add_fault(Fault(on="create", action="reset"))
    client.send("GET", "/doc_logs.json")
    any_sandbox.reset()
    assert (any_sandbox.ledger.entries, any_sandbox.ledger.counters) == ((), {})
    assert (any_sandbox.calls, any_sandbox.faults) == ([], [])
    assert client.create().status_code == 200


@pytest.mark.parametrize(
    ("body", "text"),
    [("{", "JSON"), ('{"on": "create", "action": "x"}', "action: 'x'"), ('["x"]', "object")],
)
def test_invalid_fault_is_rejected_over_http(client, sandbox, body, text):
    """The response is 400 with an error, and no fault of the list is added."""
    response = client.send("POST", "/sandbox/faults", data=body, auth=None)
    assert response.status_code == 400
    assert text in response.json()["error"]
    assert sandbox.faults == []


def test_single_fault_needs_no_list(client, sandbox):
    """A JSON object is accepted in place of a list."""
    client.send("POST", "/sandbox/faults", json={"on": "create", "action": "reset"}, auth=None)
    with pytest.raises(requests.ConnectionError):
        client.create()


def test_unknown_control_calls_get_json_errors(client):
    """404 and 405 have JSON bodies under /sandbox/."""
    assert client.send("GET", "/sandbox/nothing").status_code == 404
    assert client.send("GET", "/sandbox/reset").json() == {"error": "Method Not Allowed"}


def test_settings_must_be_a_json_object(client):
    """A list of settings is rejected."""
    response = client.send("PATCH", "/sandbox/settings", json=["delay"], auth=None)
    assert response.status_code == 400
    assert "object" in response.json()["error"]
