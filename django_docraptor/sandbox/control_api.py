"""The HTTP interface under `/sandbox/`, with which tests control the sandbox.

It needs no API key and knows nothing of DocRaptor's API.
"""

import json
from collections.abc import Callable

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from django_docraptor.sandbox.documents import DocumentStore
from django_docraptor.sandbox.faults import Fault, FaultError, FaultList
from django_docraptor.sandbox.responses import json_response
from django_docraptor.sandbox.settings import SettingError, Settings

PREFIX = "/sandbox/"
ROUTES = Map(
    [
        Rule("/sandbox/ledger", methods=["GET"], endpoint="ledger"),
        Rule("/sandbox/calls", methods=["GET"], endpoint="calls"),
        Rule("/sandbox/faults", methods=["GET"], endpoint="faults"),
        Rule("/sandbox/faults", methods=["POST"], endpoint="add_faults"),
        Rule("/sandbox/faults", methods=["DELETE"], endpoint="clear_faults"),
        Rule("/sandbox/reset", methods=["POST"], endpoint="reset"),
        Rule("/sandbox/settings", methods=["PATCH"], endpoint="settings"),
    ]
)


class ControlApi:
    """Handle requests under `/sandbox/`."""

    def __init__(
        self,
        settings: Settings,
        store: DocumentStore,
        faults: FaultList,
        reset: Callable[[], None],
    ) -> None:
        """Control a sandbox by its parts; `reset` resets all of them."""
        self._settings = settings
        self._store = store
        self._faults = faults
        self._reset = reset

    def handle(self, request: Request) -> Response:
        """Return the response to a request; an error is a JSON object with the key `error`."""
        try:
            endpoint, _ = ROUTES.bind_to_environ(request.environ).match()
            return json_response(self._dispatch(endpoint, request))
        except (FaultError, SettingError) as error:
            return json_response({"error": str(error)}, 400)
        except HTTPException as error:
            return json_response({"error": error.name}, error.code or 500)
        except ValueError:
            return json_response({"error": "the request body is not JSON"}, 400)

    def _dispatch(self, endpoint: str, request: Request) -> object:
        if endpoint == "ledger":
            return self._store.ledger().as_json()
        if endpoint == "calls":
            return [call.as_json() for call in self._store.calls()]
        if endpoint == "settings":
            return self._change_settings(json.loads(request.get_data()))
        if endpoint == "add_faults":
            self._add_faults(json.loads(request.get_data()))
        elif endpoint == "clear_faults":
            self._faults.clear()
        elif endpoint == "reset":
            self._reset()
        return self._faults.as_json()

    def _add_faults(self, data: object) -> None:
        items = data if isinstance(data, list) else [data]
        self._faults.add(*[Fault.from_json(item) for item in items])

    def _change_settings(self, data: object) -> list[str]:
        if not isinstance(data, dict):
            raise SettingError("settings must be a JSON object")
        self._settings.change(**data)
        return list(data)
