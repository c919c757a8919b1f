"""How each fault of an answer looks: from the proper answer to the spoilt one.

Knows HTTP answers; not which call they belong to, nor when a fault is due.
"""

import json
import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus

from werkzeug.wrappers import Response

from django_docraptor.sandbox import fault_bodies
from django_docraptor.sandbox.faults import Fault
from django_docraptor.sandbox.responses import html_page, json_answer, xml_errors

GARBAGE = b"\xff\xfe\x00\xc3\x28 kaputt \x80\x81"

# Answers that come instead of the proper one, and changes of the proper one.
Instead = Callable[[Fault, threading.Event], Response]
Change = Callable[[Fault, Response, threading.Event], Response]


def play(fault: Fault, proper: Callable[[], Response], stopping: threading.Event) -> Response:
    """Return the spoilt answer, or raise `DropError`; `proper` makes what is to be spoilt."""
    if fault.action in INSTEAD:
        return INSTEAD[fault.action](fault, stopping)
    if fault.action in CHANGES:
        return CHANGES[fault.action](fault, proper(), stopping)
    return proper()


def _status(fault: Fault, stopping: threading.Event) -> Response:
    response = _error_body(fault)
    if fault.retry_after is not None:
        response.headers["Retry-After"] = str(fault.retry_after)
    return response


def _error_body(fault: Fault) -> Response:
    reasons = fault.reason.split("\n")
    if fault.body == "json":
        return json_answer({"errors": reasons}, fault.effective_status_code)
    if fault.body == "html":
        return html_page(
            fault.effective_status_code,
            f"{fault.effective_status_code} {_phrase(fault.effective_status_code)}",
        )
    if fault.body == "garbage":
        return Response(GARBAGE, fault.effective_status_code, content_type="text/plain")
    if fault.body == "empty":
        return Response(b"", fault.effective_status_code, content_type="text/plain")
    return xml_errors(fault.effective_status_code, reasons)


def _phrase(code: int) -> str:
    try:
        return HTTPStatus(code).phrase
    except ValueError:
        return "Unknown"


def _html(fault: Fault, stopping: threading.Event) -> Response:
    return html_page(200, "We'll be back soon")


def _reset(fault: Fault, stopping: threading.Event) -> Response:
    raise fault_bodies.DropError(reset=True)


def _close(fault: Fault, stopping: threading.Event) -> Response:
    raise fault_bodies.DropError


def _hang(fault: Fault, stopping: threading.Event) -> Response:
    stopping.wait(fault.delay)
    raise fault_bodies.DropError


def _redirect(fault: Fault, stopping: threading.Event) -> Response:
    return Response(b"", fault.effective_status_code, headers={"Location": fault.location})


def _slow(fault: Fault, proper: Response, stopping: threading.Event) -> Response:
    if stopping.wait(fault.delay):
        raise fault_bodies.DropError
    return proper


def _cut(fault: Fault, proper: Response, stopping: threading.Event) -> Response:
    length = proper.content_length or sum(map(len, proper.iter_encoded()))
    keep = length // 2 if fault.keep_bytes is None else fault.keep_bytes
    drop = None if fault.mode == "close" else fault_bodies.DropError(reset=fault.mode == "reset")
    response = _with_body(proper, fault_bodies.cut(proper.iter_encoded(), keep, drop=drop))
    if fault.mode in {"length", "reset"}:
        response.content_length = length
    elif fault.mode == "close":
        response.headers["Connection"] = "close"
    return response


def _no_id(fault: Fault, proper: Response, stopping: threading.Event) -> Response:
    return json_answer({"message": "ok"})


def _word(fault: Fault, proper: Response, stopping: threading.Event) -> Response:
    data = {"status": fault.reported_state, "message": "Nobody has ever seen this word"}
    return json_answer(json.loads(proper.get_data()) | data)


def _gzip(fault: Fault, proper: Response, stopping: threading.Event) -> Response:
    response = _with_body(proper, fault_bodies.gzip(proper.iter_encoded()))
    response.headers["Content-Encoding"] = "gzip"
    return response


def _bomb(fault: Fault, proper: Response, stopping: threading.Event) -> Response:
    response = _with_body(proper, fault_bodies.bomb(fault.size_bytes))
    response.headers["Content-Encoding"] = "gzip"
    return response


def _empty(fault: Fault, proper: Response, stopping: threading.Event) -> Response:
    response = _with_body(proper, [])
    response.content_length = 0
    return response


def _endless(fault: Fault, proper: Response, stopping: threading.Event) -> Response:
    return _with_body(proper, fault_bodies.endless(stopping))


def _drip(fault: Fault, proper: Response, stopping: threading.Event) -> Response:
    length = proper.content_length
    response = _with_body(proper, fault_bodies.drip(proper.iter_encoded(), fault.delay, stopping))
    response.content_length = length
    return response


def _with_body(proper: Response, body: Iterable[bytes]) -> Response:
    """Return the answer with another body, of unknown length."""
    headers = [item for item in proper.headers if item[0].lower() != "content-length"]
    return Response(body, proper.status_code, headers=headers)


INSTEAD: dict[str, Instead] = {
    "status": _status,
    "html": _html,
    "reset": _reset,
    "close": _close,
    "hang": _hang,
    "redirect": _redirect,
}
CHANGES: dict[str, Change] = {
    "slow": _slow,
    "cut": _cut,
    "no_id": _no_id,
    "unknown_state": _word,
    "gzip": _gzip,
    "bomb": _bomb,
    "empty": _empty,
    "endless": _endless,
    "drip": _drip,
}
