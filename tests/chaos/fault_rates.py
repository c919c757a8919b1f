"""The faults of the sandbox, the storage and the database, and their rates.

A kind is ``call.fault``; its rate is the share of the calls that it affects. ``_accepted`` means
that the call took effect and only its response was broken.
"""

from collections.abc import Mapping
from typing import Any

from django_docraptor.sandbox import recorded
from django_docraptor.sandbox.faults import Fault
from tests.chaos.time_scale import DEADLINE, OUTAGE_SECONDS

# Longer than the app waits for a response.
HANG_SECONDS = 3.0
# Longer than DocRaptor's limit for a document, 600 s divided by SPEED.
TOO_SLOW_SECONDS = DEADLINE * 1.5
BOMB_BYTES = 8 * 1024 * 1024
# Between two bytes: each comes before a read timeout, all of them take longer than a call may.
DRIP_SECONDS = 0.2
# A log line as heavy as those of long documents.
LOG_LINE_BYTES = 64 * 1024
# After which the log shows a document: less than the time after which it proves something.
LOG_DELAY_SECONDS = 6.0
# For which a finished file is refused.
REFUSAL_SECONDS = 3.0
BUSY = recorded.TOO_MANY_REQUESTS

Plan = Mapping[str, tuple[float, Mapping[str, Any]]]

CREATE: Plan = {
    "busy": (0.03, {"action": "status", "status_code": 403, "reason": BUSY}),
    "blocked": (0.01, {"action": "status", "status_code": 403, "body": "cdn"}),
    "not_queued": (
        0.005,
        {"action": "status", "status_code": 400, "reason": recorded.QUEUEING_ERROR},
    ),
    "limited": (0.01, {"action": "status", "status_code": 429, "retry_after": 1}),
    "invalid": (0.005, {"action": "status", "status_code": 422, "reason": "Name can't be blank"}),
    "reset": (0.01, {"action": "reset"}),
    "closed": (0.005, {"action": "close"}),
    "hung": (0.005, {"action": "hang", "seconds": HANG_SECONDS}),
    "500": (0.005, {"action": "status", "status_code": 500}),
    "503": (0.005, {"action": "status", "status_code": 503, "body": "html", "retry_after": 1}),
    "redirect": (0.005, {"action": "redirect"}),
    "reset_accepted": (0.02, {"action": "reset", "accept": True}),
    "closed_accepted": (0.01, {"action": "close", "accept": True}),
    "hung_accepted": (0.02, {"action": "hang", "accept": True, "seconds": HANG_SECONDS}),
    "500_accepted": (0.01, {"action": "status", "accept": True, "status_code": 500}),
    "502_accepted": (
        0.01,
        {"action": "status", "accept": True, "status_code": 502, "body": "html"},
    ),
    "html_accepted": (0.005, {"action": "html", "accept": True}),
    "cut": (0.005, {"action": "cut"}),
    "cut_chunked": (0.005, {"action": "cut", "mode": "chunked"}),
    "cut_without_length": (0.005, {"action": "cut", "mode": "close"}),
    "no_id": (0.005, {"action": "no_id"}),
    "callback_first": (0.03, {"action": "callback_first"}),
    "slow": (0.03, {"action": "slow", "seconds": 1.0}),
    "drip": (0.01, {"action": "drip", "seconds": DRIP_SECONDS}),
    "drip_headers": (0.01, {"action": "drip_headers", "seconds": DRIP_SECONDS}),
    "empty": (0.005, {"action": "empty"}),
    # Not by default: the job that is first to save the ID keeps it, and may be the wrong one.
    "same_id": (0.0, {"action": "same_id"}),
}
STATUS: Plan = {
    "reset": (0.02, {"action": "reset"}),
    "hung": (0.01, {"action": "hang", "seconds": HANG_SECONDS}),
    "500": (0.02, {"action": "status", "status_code": 500}),
    "503": (0.01, {"action": "status", "status_code": 503, "retry_after": 1}),
    "404": (0.005, {"action": "status", "status_code": 404}),
    "html": (0.01, {"action": "html"}),
    "cut": (0.01, {"action": "cut"}),
    "unknown_state": (0.02, {"action": "unknown_state"}),
    "blocked": (0.01, {"action": "status", "status_code": 403, "body": "cdn"}),
    "drip": (0.01, {"action": "drip", "seconds": DRIP_SECONDS}),
    "drip_headers": (0.01, {"action": "drip_headers", "seconds": DRIP_SECONDS}),
    "empty": (0.005, {"action": "empty"}),
    "no_download_id": (0.05, {"action": "no_download_id"}),
}
DOWNLOAD: Plan = {
    "reset": (0.01, {"action": "reset"}),
    "hung": (0.005, {"action": "hang", "seconds": HANG_SECONDS}),
    "500": (0.02, {"action": "status", "status_code": 500}),
    "html": (0.01, {"action": "html"}),
    "cut": (0.01, {"action": "cut"}),
    "cut_chunked": (0.01, {"action": "cut", "mode": "chunked"}),
    "cut_without_length": (0.02, {"action": "cut", "mode": "close"}),
    "gzip": (0.02, {"action": "gzip"}),
    "empty": (0.01, {"action": "empty"}),
    "bomb": (0.005, {"action": "bomb", "size_bytes": BOMB_BYTES}),
    "endless": (0.002, {"action": "endless"}),
    "drip": (0.01, {"action": "drip", "seconds": DRIP_SECONDS}),
    "drip_headers": (0.01, {"action": "drip_headers", "seconds": DRIP_SECONDS}),
    "not_yet_400": (0.03, {"action": "not_yet", "seconds": REFUSAL_SECONDS}),
    "not_yet_403": (
        0.02,
        {"action": "not_yet", "seconds": REFUSAL_SECONDS, "status_code": 403},
    ),
    "not_yet_404": (
        0.02,
        {"action": "not_yet", "seconds": REFUSAL_SECONDS, "status_code": 404},
    ),
    "wrong_type": (0.01, {"action": "wrong_type"}),
}
LOGS: Plan = {
    "reset": (0.01, {"action": "reset"}),
    "hung": (0.01, {"action": "hang", "seconds": HANG_SECONDS}),
    "500": (0.02, {"action": "status", "status_code": 500}),
    "cut": (0.01, {"action": "cut"}),
    "drip": (0.01, {"action": "drip", "seconds": DRIP_SECONDS}),
    "drip_headers": (0.01, {"action": "drip_headers", "seconds": DRIP_SECONDS}),
    "omit": (0.02, {"action": "omit"}),
    "late": (0.3, {"action": "late", "seconds": LOG_DELAY_SECONDS}),
    "patchy": (0.05, {"action": "patchy", "share": 0.3}),
    "misread_empty": (0.01, {"action": "misread", "window": "empty"}),
    "heavy": (0.2, {"action": "heavy", "size_bytes": LOG_LINE_BYTES}),
    "shift": (0.02, {"action": "shift", "offset": -1}),
}
CALLBACK: Plan = {
    "drop": (0.1, {"action": "drop"}),
    "duplicate": (0.1, {"action": "duplicate", "count": 3}),
    "late": (0.05, {"action": "late", "seconds": 3.0}),
    "to_get": (0.02, {"action": "to_get"}),
    "to_json": (0.1, {"action": "to_json"}),
    "no_body": (0.05, {"action": "no_body"}),
}
RENDER: Plan = {
    "fail": (0.01, {"action": "fail"}),
    "slow": (0.03, {"action": "slow", "seconds": 3.0}),
    "too_slow": (0.003, {"action": "slow", "seconds": TOO_SLOW_SECONDS}),
    "stall": (0.002, {"action": "stall"}),
}
STORAGE: Mapping[str, float] = {
    "fail": 0.02,
    "fail_after_save": 0.01,
    "killed": 0.01,
    "killed_after_save": 0.01,
}
DATABASE: Mapping[str, float] = {
    "refused": 0.004,
    "cut": 0.002,
    "cut_after_write": 0.002,
    "commit_answer_lost": 0.002,
}
SITE: Mapping[str, Mapping[str, float]] = {"storage": STORAGE, "database": DATABASE}
PLANS: Mapping[str, Plan] = {
    "create": CREATE,
    "status": STATUS,
    "download": DOWNLOAD,
    "logs": LOGS,
    "callback": CALLBACK,
    "render": RENDER,
}


class FaultRateError(ValueError):
    """A rate is invalid; the message says why."""


def default_rates() -> dict[str, float]:
    """Return the rate of every kind."""
    rates = {
        f"{call}.{fault}": rate for call, plan in PLANS.items() for fault, (rate, _) in plan.items()
    }
    return rates | {
        f"{part}.{fault}": rate for part, plan in SITE.items() for fault, rate in plan.items()
    }


def parse_rates(text: str) -> dict[str, float]:
    """Return the default rates, changed by ``create.reset=0.1,status=0,all=2``.

    The rate of a kind is set; the rates of a call or of ``all`` are multiplied.

    Raises:
        FaultRateError: An item is not KIND=NUMBER, its kind is unknown, or a rate is not between 0
            and 1.
    """
    rates = default_rates()
    for item in filter(None, text.split(",")):
        name, _, number = item.partition("=")
        try:
            value = float(number)
        except ValueError:
            raise FaultRateError(f"{item}: expected KIND=NUMBER") from None
        _set(rates, name.strip(), value)
    if invalid := [name for name, rate in rates.items() if not 0 <= rate <= 1]:
        raise FaultRateError(f"{', '.join(invalid)}: a rate is between 0 and 1")
    return rates


def _set(rates: dict[str, float], name: str, value: float) -> None:
    if name in rates:
        rates[name] = value
        return
    kinds = [kind for kind in rates if name == "all" or kind.startswith(f"{name}.")]
    if not kinds:
        raise FaultRateError(f"{name}: unknown kind; valid kinds are all, {', '.join(rates)}")
    for kind in kinds:
        rates[kind] *= value


def sandbox_faults(rates: Mapping[str, float], url: str) -> list[tuple[str, Fault]]:
    """Return the kinds of faults to plan in the sandbox, each with its fault.

    Args:
        rates: the rate of every kind.
        url: the sandbox's URL; redirected create calls lead back to it, where they would be
            accepted.
    """
    planned = []
    for call, plan in PLANS.items():
        for fault, (_, details) in plan.items():
            location = {"location": f"{url}/async_docs"} if fault == "redirect" else {}
            if rate := rates[f"{call}.{fault}"]:
                planned.append(
                    (f"{call}.{fault}", Fault(on=call, rate=rate, **details, **location))
                )
    return planned


def outage_faults() -> list[tuple[str, Fault]]:
    """Return the faults of an outage: no call works, and some do not even get an answer."""
    unavailable = {"action": "status", "status_code": 503, "body": "cdn"}
    return [
        (f"outage.{call}", Fault(on=call, rate=rate, lasts=OUTAGE_SECONDS, **details))
        for rate, details in ((0.3, {"action": "reset"}), (1.0, unavailable))
        for call in ("create", "status", "download", "logs")
    ]
