"""The faults that a sandbox can play: what each means, and whose turn it is.

Knows names and counts only. How a fault looks on the wire is `misbehaviour`'s business.
"""

import random
import threading
from collections.abc import Collection
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

# Faults of an HTTP answer, for every call alike.
ANSWER = frozenset({"status", "html", "reset", "close", "hang", "slow", "cut", "redirect"})
ACTIONS: dict[str, frozenset[str]] = {
    "create": ANSWER | {"no_id", "callback_first"},
    "status": ANSWER | {"unknown_state"},
    "download": ANSWER | {"gzip", "empty", "bomb", "endless", "drip", "wrong_type"},
    "logs": ANSWER | {"omit"},
    "callback": frozenset({"drop", "duplicate", "late", "to_get"}),
    "render": frozenset({"fail", "stall", "slow"}),
}
# These spoil the answer to a call that has taken effect; the others come instead of it.
EFFECTIVE = frozenset(
    {"slow", "cut", "no_id", "callback_first", "gzip", "empty", "bomb", "endless", "drip"}
    | {"wrong_type", "unknown_state", "omit"}
)
SECONDS = {"hang": 60.0, "drip": 1.0, "late": 5.0, "slow": 1.0}
STATUS = {"status": 500, "redirect": 307}
WORD = {"fail": "failed", "unknown_state": "paused"}
BODIES = ("xml", "html", "json", "garbage", "empty")
MODES = ("length", "chunked", "close", "reset")
CHOICES = {"on": tuple(ACTIONS), "body": BODIES, "mode": MODES}

NUMBER = (int, float)
TYPES: dict[str, tuple[type, ...]] = {
    "on": (str,),
    "action": (str,),
    "match": (str,),
    "times": (int, type(None)),
    "after": (int,),
    "rate": NUMBER,
    "accept": (bool, type(None)),
    "seconds": (*NUMBER, type(None)),
    "status_code": (int, type(None)),
    "body": (str,),
    "reason": (str,),
    "retry_after": (int, type(None)),
    "state": (str,),
    "mode": (str,),
    "keep_bytes": (int, type(None)),
    "location": (str,),
    "count": (int,),
    "size_bytes": (int,),
}


class FaultError(ValueError):
    """A fault that cannot be played; the text names the field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong, and when.

    `on`: create, status, download, logs, callback or render. `action`: see ACTIONS.
    """

    on: str
    action: str
    # Part of the document's tag or name; empty for all documents.
    match: str = ""
    # Play it so many times, then never again; None for always.
    times: int | None = None
    # Let so many matching calls pass first.
    after: int = 0
    # Share of the matching calls that are hit.
    rate: float = 1.0
    # Whether the call takes effect all the same: the document is accepted, the download is
    # counted. None: as is natural for the action (see EFFECTIVE).
    accept: bool | None = None
    # hang: before closing. slow, late: before going on. drip: between two bytes.
    seconds: float | None = None
    # status: the code. redirect: 301 to 308.
    status_code: int | None = None
    # status: kind of body.
    body: str = "xml"
    # status, fail: the text; several reasons are separated by newlines.
    reason: str = "The sandbox was asked to fail."
    # status: the Retry-After header, in seconds.
    retry_after: int | None = None
    # unknown_state: what the status says. fail: the final status, e.g. "killed".
    state: str = ""
    # cut: how the end is announced and broken.
    mode: str = "length"
    # cut: bytes that are sent; None for half of them.
    keep_bytes: int | None = None
    # redirect: where to.
    location: str = ""
    # duplicate: deliveries.
    count: int = 2
    # bomb: bytes after decompression.
    size_bytes: int = 1 << 30

    def __post_init__(self) -> None:
        for name, expected in TYPES.items():
            _check_type(name, getattr(self, name), expected)
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                _refuse(name, getattr(self, name), f"one of {', '.join(choices)}")
        if self.action not in ACTIONS[self.on]:
            wanted = f"one of {', '.join(sorted(ACTIONS[self.on]))} (on={self.on!r})"
            _refuse("action", self.action, wanted)
        self._check_bounds()

    def _check_bounds(self) -> None:
        if not 0 <= self.rate <= 1:
            _refuse("rate", self.rate, "between 0 and 1")
        if self.status_code is not None and not 200 <= self.status_code <= 599:
            _refuse("status_code", self.status_code, "between 200 and 599")
        if self.action == "redirect" and not self.location:
            _refuse("location", self.location, "a URL to redirect to")
        if self.on == "download" and self.action in EFFECTIVE and self.accept is False:
            _refuse("accept", False, f"possible: a download that is {self.action!r} counts")
        for name in (
            "times",
            "after",
            "seconds",
            "retry_after",
            "keep_bytes",
            "count",
            "size_bytes",
        ):
            value = getattr(self, name)
            if value is not None and value < 0:
                _refuse(name, value, "zero or more")

    def matches(self, *labels: str) -> bool:
        """Whether one of the labels contains `match`; an empty `match` hits everything."""
        return not self.match or any(self.match in label for label in labels)

    @property
    def takes_effect(self) -> bool:
        """Whether the call does its work although its answer is spoilt."""
        return self.action in EFFECTIVE if self.accept is None else self.accept

    @property
    def delay(self) -> float:
        """Seconds, the action's own default if none were given."""
        return SECONDS.get(self.action, 0.0) if self.seconds is None else self.seconds

    @property
    def effective_status_code(self) -> int:
        """HTTP status, the action's own default if none was given."""
        return STATUS.get(self.action, 200) if self.status_code is None else self.status_code

    @property
    def reported_state(self) -> str:
        """Word of the status answer, the action's own default if none was given."""
        return self.state or WORD.get(self.action, "")

    def as_json(self) -> dict[str, Any]:
        """Return the fault as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: object) -> "Fault":
        """Rebuild a fault; raise FaultError naming the field that is wrong."""
        if not isinstance(data, dict):
            raise FaultError(f"a fault is a JSON object, not {data!r}")
        for name in data:
            if name not in TYPES:
                raise FaultError(f"{name}: no such field; there are {', '.join(TYPES)}")
        for field in fields(cls):
            if field.default is MISSING and field.name not in data:
                raise FaultError(f"{field.name}: missing")
        return cls(**data)


def _check_type(name: str, value: object, expected: tuple[type, ...]) -> None:
    if not isinstance(value, expected) or (isinstance(value, bool) and bool not in expected):
        _refuse(name, value, " or ".join(kind.__name__ for kind in expected))


def _refuse(name: str, value: object, wanted: str) -> None:
    raise FaultError(f"{name}: {value!r} is not {wanted}")


@dataclass(slots=True)
class _Planned:
    fault: Fault
    matched: int = 0
    triggered: int = 0

    def fires(self) -> bool:
        """Count one matching call, and say whether it is hit."""
        self.matched += 1
        fault = self.fault
        spent = fault.times is not None and self.triggered >= fault.times
        # The dice decide which of our own answers to spoil; nothing secret hangs on them.
        if self.matched <= fault.after or spent or random.random() >= fault.rate:  # noqa: S311
            return False
        self.triggered += 1
        return True


class FaultList:
    """The planned faults of one sandbox; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: list[_Planned] = []

    def add(self, *faults: Fault) -> None:
        """Plan faults; earlier ones come first."""
        with self._lock:
            self._planned += [_Planned(fault) for fault in faults]

    def clear(self) -> None:
        """Forget all faults."""
        with self._lock:
            self._planned = []

    def trigger(self, on: str, *labels: str, actions: Collection[str] = ()) -> Fault | None:
        """Return the fault that hits this call, if any, and count it as played.

        `labels`: tags and names of the documents concerned. `actions`: only these, if given.
        """
        with self._lock:
            for planned in self._planned:
                fault = planned.fault
                asked = fault.on == on and (not actions or fault.action in actions)
                if asked and fault.matches(*labels) and planned.fires():
                    return fault
        return None

    def as_json(self) -> list[dict[str, Any]]:
        """Return the planned faults, each with `matched` and `triggered`."""
        with self._lock:
            return [
                {
                    **planned.fault.as_json(),
                    "matched": planned.matched,
                    "triggered": planned.triggered,
                }
                for planned in self._planned
            ]
