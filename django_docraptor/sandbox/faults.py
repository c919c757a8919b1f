"""The faults that can be injected: their parameters, and when each is triggered.

`fault_responses` knows how they change a response.
"""

import random
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any

# Faults of an HTTP response, available for every call.
RESPONSE_ACTIONS = frozenset(
    {"status", "html", "reset", "close", "hang", "slow", "cut", "redirect", "empty", "drip"}
    | {"drip_headers"}
)
# Faults of what the log contains; one read may trigger one of each.
LOG_ACTIONS = frozenset({"omit", "patchy", "late", "misread", "heavy", "shift"})
ACTIONS: dict[str, frozenset[str]] = {
    "create": RESPONSE_ACTIONS | {"no_id", "same_id", "callback_first"},
    "status": RESPONSE_ACTIONS | {"unknown_state", "no_download_id"},
    "download": RESPONSE_ACTIONS
    | {"gzip", "bomb", "endless", "wrong_type", "partial", "as_page", "not_yet"},
    "logs": RESPONSE_ACTIONS | LOG_ACTIONS,
    "expire": RESPONSE_ACTIONS,
    "callback": frozenset({"drop", "duplicate", "late", "to_get", "to_json", "no_body"}),
    "render": frozenset({"fail", "stall", "slow", "warn"}),
}
# The call takes effect and its response is broken; all other actions replace the call.
ACTIONS_WITH_EFFECT = frozenset(
    {"slow", "cut", "empty", "drip", "drip_headers", "no_id", "same_id", "callback_first"}
    | {"gzip", "bomb", "endless", "wrong_type", "partial", "as_page"}
    | {"unknown_state", "no_download_id", *LOG_ACTIONS}
)
DEFAULT_SECONDS = {
    "hang": 60.0,
    "drip": 1.0,
    "drip_headers": 1.0,
    "late": 5.0,
    "slow": 1.0,
    "not_yet": 5.0,
    "misread": 86_400.0,
}
DEFAULT_STATUS_CODES = {"status": 500, "redirect": 307, "not_yet": 400}
DEFAULT_BYTES = {"bomb": 1 << 30, "heavy": 1 << 16}
DEFAULT_STATES = {"fail": "failed", "unknown_state": "paused"}
BODY_TYPES = ("xml", "html", "cdn", "json", "garbage", "empty")
CUT_MODES = ("length", "chunked", "close", "reset")
WINDOWS = ("empty", "all", "other")
CHOICES = {"on": tuple(ACTIONS), "body": BODY_TYPES, "mode": CUT_MODES, "window": WINDOWS}
SHARES = ("rate", "share")
NOT_NEGATIVE = (
    *("times", "after", "lasts", "seconds", "retry_after", "keep_bytes", "count", "size_bytes"),
)

NUMBER = (int, float)
TYPES: dict[str, tuple[type, ...]] = {
    "on": (str,),
    "action": (str,),
    "match": (str,),
    "times": (int, type(None)),
    "after": (int,),
    "lasts": (*NUMBER, type(None)),
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
    "size_bytes": (int, type(None)),
    "window": (str,),
    "share": NUMBER,
    "offset": (int,),
}


class FaultError(ValueError):
    """An invalid fault; the message names the field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault to inject, and when.

    `on`: create, status, download, logs, expire, callback or render. `action`: see ACTIONS.
    """

    on: str
    action: str
    # Text that the document's tag or name must contain; empty: all documents.
    match: str = ""
    # Maximum number of times it is triggered; None: unlimited.
    times: int | None = None
    # Number of matching calls to skip first.
    after: int = 0
    # Seconds after which it is over, counted from when it is added; None: never.
    lasts: float | None = None
    # Share of the matching calls that trigger it.
    rate: float = 1.0
    # Whether the call takes effect anyway (the document is accepted, the download is counted).
    # None: the action's default, see ACTIONS_WITH_EFFECT.
    accept: bool | None = None
    # Seconds. hang: before the connection is closed. slow, late: before continuing, or before the
    # log shows a document. drip, drip_headers: between two bytes. not_yet: after completion.
    # misread: by which the log's window is too late.
    seconds: float | None = None
    # status, not_yet: the status code. redirect: 301 to 308.
    status_code: int | None = None
    # status, not_yet: type of the body, see BODY_TYPES.
    body: str = "xml"
    # status, not_yet, fail, warn: the text; several reasons are separated by newlines.
    reason: str = "Failure requested by a sandbox fault."
    # status, not_yet: the Retry-After header, in seconds.
    retry_after: int | None = None
    # unknown_state: state in the response. fail: final state, such as "killed".
    state: str = ""
    # cut: how the length is declared and the body ends.
    mode: str = "length"
    # cut, partial: number of bytes sent; None: half of them.
    keep_bytes: int | None = None
    # redirect: the URL to redirect to.
    location: str = ""
    # duplicate: number of callbacks.
    count: int = 2
    # bomb: number of bytes after decompression. heavy: of each line's generation_log.
    size_bytes: int | None = None
    # misread: the documents in the log instead of those asked for.
    window: str = "empty"
    # patchy: share of the documents that are missing, chosen anew for each read.
    share: float = 0.5
    # shift: documents by which each page begins too late (or, if negative, too early).
    offset: int = 1

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            FaultError: a field is invalid.
        """
        for name, types in TYPES.items():
            _check_type(name, getattr(self, name), types)
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                _raise_invalid(name, getattr(self, name), f"one of {', '.join(choices)}")
        if self.action not in ACTIONS[self.on]:
            expected = f"one of {', '.join(sorted(ACTIONS[self.on]))} (on={self.on!r})"
            _raise_invalid("action", self.action, expected)
        self._check_bounds()

    def _check_bounds(self) -> None:
        for name in SHARES:
            if not 0 <= getattr(self, name) <= 1:
                _raise_invalid(name, getattr(self, name), "between 0 and 1")
        if self.status_code is not None and not 200 <= self.status_code <= 599:
            _raise_invalid("status_code", self.status_code, "between 200 and 599")
        if self.action == "redirect" and not self.location:
            _raise_invalid("location", self.location, "a URL to redirect to")
        if self.on == "download" and self.action in ACTIONS_WITH_EFFECT and self.accept is False:
            expected = f"valid here: a download with the fault {self.action!r} always counts"
            _raise_invalid("accept", False, expected)
        for name in NOT_NEGATIVE:
            value = getattr(self, name)
            if value is not None and value < 0:
                _raise_invalid(name, value, "zero or more")

    def matches(self, *labels: str) -> bool:
        """Return whether a label contains `match`. An empty `match` matches everything."""
        return not self.match or any(self.match in label for label in labels)

    @property
    def takes_effect(self) -> bool:
        """Whether the call takes effect although its response is broken."""
        return self.action in ACTIONS_WITH_EFFECT if self.accept is None else self.accept

    @property
    def delay(self) -> float:
        """Seconds to wait, or the action's default."""
        return DEFAULT_SECONDS.get(self.action, 0.0) if self.seconds is None else self.seconds

    @property
    def effective_status_code(self) -> int:
        """HTTP status code, or the action's default."""
        if self.status_code is None:
            return DEFAULT_STATUS_CODES.get(self.action, 200)
        return self.status_code

    @property
    def byte_count(self) -> int:
        """Size in bytes, or the action's default."""
        return DEFAULT_BYTES.get(self.action, 0) if self.size_bytes is None else self.size_bytes

    @property
    def reported_state(self) -> str:
        """State in the status response, or the action's default."""
        return self.state or DEFAULT_STATES.get(self.action, "")

    def as_json(self) -> dict[str, Any]:
        """Return the fault as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: object) -> "Fault":
        """Convert a JSON object to a fault.

        Raises:
            FaultError: a field is unknown, missing or invalid.
        """
        if not isinstance(data, dict):
            raise FaultError(f"a fault must be a JSON object, not {data!r}")
        for name in data:
            if name not in TYPES:
                raise FaultError(f"{name}: unknown field; valid fields are {', '.join(TYPES)}")
        for required in fields(cls):
            if required.default is MISSING and required.name not in data:
                raise FaultError(f"{required.name}: this field is required")
        return cls(**data)


def _check_type(name: str, value: object, types: tuple[type, ...]) -> None:
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        _raise_invalid(name, value, " or ".join(type_.__name__ for type_ in types))


def _raise_invalid(name: str, value: object, expected: str) -> None:
    raise FaultError(f"{name}: {value!r} is not {expected}")


@dataclass(slots=True)
class _PlannedFault:
    fault: Fault
    added: float = field(default_factory=time.monotonic)
    matched: int = 0
    triggered: int = 0

    def should_trigger(self) -> bool:
        """Count a matching call, and return whether it triggers the fault."""
        fault = self.fault
        if fault.lasts is not None and time.monotonic() - self.added >= fault.lasts:
            return False
        self.matched += 1
        is_exhausted = fault.times is not None and self.triggered >= fault.times
        if self.matched <= fault.after or is_exhausted:
            return False
        # Not security-relevant: random choice of the responses to break.
        if random.random() >= fault.rate:  # noqa: S311
            return False
        self.triggered += 1
        return True


class FaultList:
    """The planned faults of one sandbox; safe to use from many threads."""

    def __init__(self) -> None:
        """Begin without faults."""
        self._lock = threading.Lock()
        self._planned: list[_PlannedFault] = []

    def add(self, *faults: Fault) -> None:
        """Add faults; earlier ones take precedence."""
        with self._lock:
            self._planned += [_PlannedFault(fault) for fault in faults]

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._planned = []

    def trigger(
        self,
        on: str,
        *labels: str,
        actions: Collection[str] = (),
        concerns: Callable[[Fault], bool] = lambda fault: True,
    ) -> Fault | None:
        """Return the fault that this call triggers, if any, and count it.

        Args:
            on: the call, or callback or render.
            *labels: tags and names of the documents concerned.
            actions: only these actions, if given.
            concerns: whether a fault concerns this call; all others do not count it.
        """
        with self._lock:
            for planned in self._planned:
                fault = planned.fault
                is_candidate = fault.on == on and (not actions or fault.action in actions)
                if (
                    is_candidate
                    and fault.matches(*labels)
                    and concerns(fault)
                    and planned.should_trigger()
                ):
                    return fault
        return None

    def as_json(self) -> list[dict[str, Any]]:
        """Return the planned faults, with how many calls `matched` and how many `triggered`."""
        with self._lock:
            return [
                planned.fault.as_json()
                | {"matched": planned.matched, "triggered": planned.triggered}
                for planned in self._planned
            ]
