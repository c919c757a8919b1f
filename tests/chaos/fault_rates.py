"""Which faults the sandbox and the storage play, and how often.

A kind is ``call.what``; its rate is the share of the calls that it hits. ``_late`` means that the
call took effect: the document was accepted, and only the answer was spoilt.
"""

from collections.abc import Mapping
from typing import Any

from django_docraptor.sandbox.faults import Fault
from tests.chaos.time_scale import DEADLINE

# Longer than the app waits for an answer.
HANG = 3.0
# Longer than DocRaptor, SPEED times faster, lets a document take (600 s).
TOO_SLOW = DEADLINE * 1.5
SMALL_BOMB = 8 * 1024 * 1024

Plan = Mapping[str, tuple[float, Mapping[str, Any]]]

CREATE: Plan = {
    "busy": (0.03, {"action": "status", "status_code": 403, "reason": "Too many documents."}),
    "limited": (0.01, {"action": "status", "status_code": 429, "retry_after": 1}),
    "invalid": (0.005, {"action": "status", "status_code": 422, "reason": "Name can't be blank"}),
    "reset": (0.01, {"action": "reset"}),
    "closed": (0.005, {"action": "close"}),
    "hung": (0.005, {"action": "hang", "seconds": HANG}),
    "500": (0.005, {"action": "status", "status_code": 500}),
    "503": (0.005, {"action": "status", "status_code": 503, "body": "html", "retry_after": 1}),
    "redirect": (0.005, {"action": "redirect"}),
    "reset_late": (0.02, {"action": "reset", "accept": True}),
    "closed_late": (0.01, {"action": "close", "accept": True}),
    "hung_late": (0.02, {"action": "hang", "accept": True, "seconds": HANG}),
    "500_late": (0.01, {"action": "status", "accept": True, "status_code": 500}),
    "502_late": (0.01, {"action": "status", "accept": True, "status_code": 502, "body": "html"}),
    "html_late": (0.005, {"action": "html", "accept": True}),
    "cut": (0.005, {"action": "cut"}),
    "cut_chunked": (0.005, {"action": "cut", "mode": "chunked"}),
    "cut_unnoticed": (0.005, {"action": "cut", "mode": "close"}),
    "no_id": (0.005, {"action": "no_id"}),
    "callback_first": (0.03, {"action": "callback_first"}),
    "slow": (0.03, {"action": "slow", "seconds": 1.0}),
}
STATUS: Plan = {
    "reset": (0.02, {"action": "reset"}),
    "hung": (0.01, {"action": "hang", "seconds": HANG}),
    "500": (0.02, {"action": "status", "status_code": 500}),
    "503": (0.01, {"action": "status", "status_code": 503, "retry_after": 1}),
    "404": (0.005, {"action": "status", "status_code": 404}),
    "html": (0.01, {"action": "html"}),
    "cut": (0.01, {"action": "cut"}),
    "unknown_state": (0.02, {"action": "unknown_state"}),
}
DOWNLOAD: Plan = {
    "reset": (0.01, {"action": "reset"}),
    "hung": (0.005, {"action": "hang", "seconds": HANG}),
    "500": (0.02, {"action": "status", "status_code": 500}),
    "html": (0.01, {"action": "html"}),
    "cut": (0.01, {"action": "cut"}),
    "cut_chunked": (0.01, {"action": "cut", "mode": "chunked"}),
    "cut_unnoticed": (0.02, {"action": "cut", "mode": "close"}),
    "gzip": (0.02, {"action": "gzip"}),
    "empty": (0.01, {"action": "empty"}),
    "bomb": (0.005, {"action": "bomb", "size_bytes": SMALL_BOMB}),
    "endless": (0.002, {"action": "endless"}),
    "drip": (0.005, {"action": "drip", "seconds": 0.2}),
    "wrong_type": (0.01, {"action": "wrong_type"}),
}
LOGS: Plan = {
    "reset": (0.01, {"action": "reset"}),
    "hung": (0.01, {"action": "hang", "seconds": HANG}),
    "500": (0.02, {"action": "status", "status_code": 500}),
    "cut": (0.01, {"action": "cut"}),
    "omit": (0.02, {"action": "omit"}),
}
CALLBACK: Plan = {
    "drop": (0.1, {"action": "drop"}),
    "duplicate": (0.1, {"action": "duplicate", "count": 3}),
    "late": (0.05, {"action": "late", "seconds": 3.0}),
    "to_get": (0.02, {"action": "to_get"}),
}
RENDER: Plan = {
    "fail": (0.01, {"action": "fail"}),
    "slow": (0.03, {"action": "slow", "seconds": 3.0}),
    "too_slow": (0.003, {"action": "slow", "seconds": TOO_SLOW}),
    "stall": (0.002, {"action": "stall"}),
}
STORAGE: Mapping[str, float] = {"fail": 0.02, "fail_late": 0.01}
PLANS: Mapping[str, Plan] = {
    "create": CREATE,
    "status": STATUS,
    "download": DOWNLOAD,
    "logs": LOGS,
    "callback": CALLBACK,
    "render": RENDER,
}


class RatesError(ValueError):
    """A rate that cannot be used; the text says why."""


def defaults() -> dict[str, float]:
    """The rate of every kind."""
    rates = {f"{on}.{what}": rate for on, plan in PLANS.items() for what, (rate, _) in plan.items()}
    return rates | {f"storage.{what}": rate for what, rate in STORAGE.items()}


def read(text: str) -> dict[str, float]:
    """The rates of ``create.reset=0.1,status=0,all=2``.

    A kind gets that rate; a whole call, or ``all``, gets its rates multiplied.
    """
    rates = defaults()
    for item in filter(None, text.split(",")):
        name, _, number = item.partition("=")
        try:
            value = float(number)
        except ValueError:
            raise RatesError(f"{item}: write KIND=NUMBER") from None
        _set(rates, name.strip(), value)
    if wrong := [name for name, rate in rates.items() if not 0 <= rate <= 1]:
        raise RatesError(f"{', '.join(wrong)}: a rate is between 0 and 1")
    return rates


def _set(rates: dict[str, float], name: str, value: float) -> None:
    if name in rates:
        rates[name] = value
        return
    kinds = [kind for kind in rates if name == "all" or kind.startswith(f"{name}.")]
    if not kinds:
        raise RatesError(f"{name}: no such kind; there are all, {', '.join(rates)}")
    for kind in kinds:
        rates[kind] *= value


def faults(rates: Mapping[str, float], sandbox: str) -> list[tuple[str, Fault]]:
    """What to plan at the sandbox, with the kind of each.

    Args:
        sandbox: its address; a redirected create is led back to it, where it would be accepted.
    """
    planned = []
    for on, plan in PLANS.items():
        for what, (_, details) in plan.items():
            where = {"location": f"{sandbox}/async_docs"} if what == "redirect" else {}
            if rate := rates[f"{on}.{what}"]:
                planned.append((f"{on}.{what}", Fault(on=on, rate=rate, **details, **where)))
    return planned
