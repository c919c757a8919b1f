"""The sandbox's own calls under `/sandbox/`: what a test does, done over HTTP.

No key is needed, and none of DocRaptor's protocol is known here.
"""

import json
from collections.abc import Callable

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from django_docraptor.sandbox.documents import Store
from django_docraptor.sandbox.faults import Fault, FaultError, FaultList
from django_docraptor.sandbox.responses import json_answer
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


class Administration:
    """Answers the calls under `/sandbox/`."""

    def __init__(
        self, settings: Settings, store: Store, faults: FaultList, reset: Callable[[], None]
    ) -> None:
        self._settings = settings
        self._store = store
        self._faults = faults
        self._reset = reset

    def answer(self, request: Request) -> Response:
        """Return the answer; errors are JSON objects with one `error`."""
        try:
            endpoint, _ = ROUTES.bind_to_environ(request.environ).match()
            return json_answer(self._do(endpoint, request))
        except (FaultError, SettingError) as error:
            return json_answer({"error": str(error)}, 400)
        except HTTPException as error:
            return json_answer({"error": error.name}, error.code or 500)
        except ValueError:
            return json_answer({"error": "the request body is not JSON"}, 400)

    def _do(self, endpoint: str, request: Request) -> object:
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
        listed = data if isinstance(data, list) else [data]
        self._faults.add(*[Fault.from_json(item) for item in listed])

    def _change_settings(self, data: object) -> list[str]:
        if not isinstance(data, dict):
            raise SettingError("settings are a JSON object")
        self._settings.change(**data)
        return list(data)
