"""Internal. What a probe has found: one line, with its remedy."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How good it is."""

    OK = "ok"
    # It works, but not as well as it could, or it could not be looked at.
    WARN = "warn"
    # Documents are not generated, or not as intended.
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One finding of a probe.

    Args:
        name: what was looked at.
        status: how good it is.
        message: what was found.
        remedy: what to do; blank if it is good.
    """

    name: str
    status: Status
    message: str
    remedy: str = ""

    @property
    def text(self) -> str:
        """Message and remedy on one line, without what a terminal would obey."""
        text = f"{self.message} {self.remedy}".strip()
        return " ".join("".join(char if char.isprintable() else " " for char in text).split())

    def to_json(self) -> dict[str, str]:
        """Return the result as JSON-serializable data."""
        return {
            "name": self.name,
            "status": self.status.value,
            "message": self.message,
            "remedy": self.remedy,
        }


def as_sentence(error: BaseException) -> str:
    """Return an error with its class, as the end of a sentence."""
    text = str(error).strip().removesuffix(".")
    reason = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return reason if reason.endswith(("!", "?")) else f"{reason}."


def ok(name: str, message: str) -> Result:
    """Return that a thing is as it should be."""
    return Result(name=name, status=Status.OK, message=message)


def warn(name: str, message: str, remedy: object = "") -> Result:
    """Return that a thing works, but could be better, or could not be looked at."""
    return Result(name=name, status=Status.WARN, message=message, remedy=str(remedy))


def fail(name: str, message: str, remedy: object = "") -> Result:
    """Return that a thing prevents documents."""
    return Result(name=name, status=Status.FAIL, message=message, remedy=str(remedy))


def has_failed(results: Iterable[Result]) -> bool:
    """Return whether one of the results is a failure."""
    return any(result.status == Status.FAIL for result in results)
