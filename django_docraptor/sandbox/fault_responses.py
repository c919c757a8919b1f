"""How each fault changes an HTTP response.

It knows neither which call the response belongs to nor when a fault is due.
"""

import json
import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus

from werkzeug.wrappers import Response

from django_docraptor.sandbox import fault_bodies
from django_docraptor.sandbox.fault_bodies import DropConnectionError
from django_docraptor.sandbox.faults import Fault
from django_docraptor.sandbox.responses import (
    cdn_response,
    html_response,
    json_response,
    xml_error_response,
)


class SlowHeadResponse(Response):
    """A response whose status line and headers come a byte at a time."""

    # Seconds between two bytes.
    head_interval: float = 0.0


GARBAGE = b"\xff\xfe\x00\xc3\x28 kaputt \x80\x81"

# Functions that replace the response, and functions that modify it.
Replacement = Callable[[Fault, threading.Event], Response]
Modifier = Callable[[Fault, Response, threading.Event], Response]


def apply(
    fault: Fault, make_response: Callable[[], Response], stopping: threading.Event
) -> Response:
    """Return the response with the fault applied.

    Args:
        fault: the fault that the call has triggered.
        make_response: builds the normal response.
        stopping: is set when the sandbox stops, which ends every wait.

    Raises:
        DropConnectionError: the fault ends the connection.
    """
    if fault.action in REPLACEMENTS:
        return REPLACEMENTS[fault.action](fault, stopping)
    if fault.action in MODIFIERS:
        return MODIFIERS[fault.action](fault, make_response(), stopping)
    return make_response()


def _status(fault: Fault, stopping: threading.Event) -> Response:
    response = _error_response(fault)
    if fault.retry_after is not None:
        response.headers["Retry-After"] = str(fault.retry_after)
    return response


def _error_response(fault: Fault) -> Response:
    status_code, reasons = fault.effective_status_code, fault.reason.split("\n")
    if fault.body == "json":
        return json_response({"errors": reasons}, status_code)
    if fault.body == "cdn":
        return cdn_response(status_code, _reason_phrase(status_code))
    if fault.body == "html":
        return html_response(status_code, f"{status_code} {_reason_phrase(status_code)}")
    if fault.body == "garbage":
        return Response(GARBAGE, status_code, content_type="text/plain")
    if fault.body == "empty":
        return Response(b"", status_code, content_type="text/plain")
    return xml_error_response(status_code, reasons)


def _reason_phrase(status_code: int) -> str:
    try:
        return HTTPStatus(status_code).phrase
    except ValueError:
        return "Unknown"


def _html(fault: Fault, stopping: threading.Event) -> Response:
    return html_response(200, "We'll be back soon")


def _reset(fault: Fault, stopping: threading.Event) -> Response:
    raise DropConnectionError(reset=True)


def _close(fault: Fault, stopping: threading.Event) -> Response:
    raise DropConnectionError


def _hang(fault: Fault, stopping: threading.Event) -> Response:
    stopping.wait(fault.delay)
    raise DropConnectionError


def _redirect(fault: Fault, stopping: threading.Event) -> Response:
    return Response(b"", fault.effective_status_code, headers={"Location": fault.location})


def _slow(fault: Fault, response: Response, stopping: threading.Event) -> Response:
    if stopping.wait(fault.delay):
        raise DropConnectionError
    return response


def _cut(fault: Fault, response: Response, stopping: threading.Event) -> Response:
    length = response.content_length or sum(map(len, response.iter_encoded()))
    keep = length // 2 if fault.keep_bytes is None else fault.keep_bytes
    error = None if fault.mode == "close" else DropConnectionError(reset=fault.mode == "reset")
    body = fault_bodies.truncated(response.iter_encoded(), keep, error=error)
    response = _with_body(response, body)
    if fault.mode in {"length", "reset"}:
        response.content_length = length
    elif fault.mode == "close":
        response.headers["Connection"] = "close"
    return response


def _no_id(fault: Fault, response: Response, stopping: threading.Event) -> Response:
    return json_response({"message": "ok"})


def _unknown_state(fault: Fault, response: Response, stopping: threading.Event) -> Response:
    data = {"status": fault.reported_state, "message": "This state does not exist"}
    return json_response(json.loads(response.get_data()) | data)


def _gzip(fault: Fault, response: Response, stopping: threading.Event) -> Response:
    response = _with_body(response, fault_bodies.gzipped(response.iter_encoded()))
    response.headers["Content-Encoding"] = "gzip"
    return response


def _bomb(fault: Fault, response: Response, stopping: threading.Event) -> Response:
    response = _with_body(response, fault_bodies.gzip_bomb(fault.byte_count))
    response.headers["Content-Encoding"] = "gzip"
    return response


def _empty(fault: Fault, response: Response, stopping: threading.Event) -> Response:
    response = _with_body(response, [])
    response.content_length = 0
    return response


def _partial(fault: Fault, response: Response, stopping: threading.Event) -> Response:
    length = response.content_length or 0
    keep = length // 2 if fault.keep_bytes is None else min(fault.keep_bytes, length)
    response = _with_body(
        response, fault_bodies.truncated(response.iter_encoded(), keep, error=None)
    )
    response.status_code = HTTPStatus.PARTIAL_CONTENT
    response.content_length = keep
    response.headers["Content-Range"] = f"bytes 0-{max(keep - 1, 0)}/{length}"
    return response


def _as_page(fault: Fault, response: Response, stopping: threading.Event) -> Response:
    response.content_type = "text/html; charset=utf-8"
    return response


def _endless(fault: Fault, response: Response, stopping: threading.Event) -> Response:
    return _with_body(response, fault_bodies.endless(stopping))


def _drip(fault: Fault, response: Response, stopping: threading.Event) -> Response:
    length = response.content_length
    body = fault_bodies.dripping(response.iter_encoded(), fault.delay, stopping)
    response = _with_body(response, body)
    response.content_length = length
    return response


def _drip_headers(fault: Fault, response: Response, stopping: threading.Event) -> Response:
    # A header is no body: the server's handler writes it, and asks the response how.
    slow = SlowHeadResponse(response.response, response.status_code, response.headers)
    slow.head_interval = fault.delay
    return slow


def _no_download_id(fault: Fault, response: Response, stopping: threading.Event) -> Response:
    data = json.loads(response.get_data())
    data.pop("download_id", None)
    return json_response(data)


def _with_body(response: Response, body: Iterable[bytes]) -> Response:
    """Return the response with another body of unknown length."""
    headers = [item for item in response.headers if item[0].lower() != "content-length"]
    return Response(body, response.status_code, headers=headers)


REPLACEMENTS: dict[str, Replacement] = {
    "status": _status,
    "not_yet": _status,
    "html": _html,
    "reset": _reset,
    "close": _close,
    "hang": _hang,
    "redirect": _redirect,
}
MODIFIERS: dict[str, Modifier] = {
    "slow": _slow,
    "cut": _cut,
    "no_id": _no_id,
    "unknown_state": _unknown_state,
    "gzip": _gzip,
    "bomb": _bomb,
    "empty": _empty,
    "endless": _endless,
    "drip": _drip,
    "drip_headers": _drip_headers,
    "no_download_id": _no_download_id,
    "partial": _partial,
    "as_page": _as_page,
}
