"""The sandbox's settings and their validation."""

from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import TypedDict

RENDERERS = ("weasyprint", "canned")
OTHER_TIME_FORMS = ("ignore", "empty", "reject")
ID_FORMS = ("uuid", "hex", "digits", "long")
CHOICES = {
    "renderer": RENDERERS,
    "other_time_forms": OTHER_TIME_FORMS,
    "status_id_form": ID_FORMS,
}

# An int is a valid number of seconds; a bool is not.
NUMBER = (int, float)
TYPES: dict[str, tuple[type, ...]] = {
    "delay": NUMBER,
    "api_key": (str, type(None)),
    "renderer": (str,),
    "max_concurrent": (int,),
    "download_limit": (int,),
    "list_unfinished": (bool,),
    "canned_bytes": (int,),
    "callback_hosts": (tuple, list),
    "other_time_forms": (str,),
    "status_id_form": (str,),
    "download_url_base": (str,),
    "document_limit": (int, type(None)),
    "refusal": (str,),
    "synchronous_limit": NUMBER,
    "asynchronous_limit": NUMBER,
    "clock_offset": NUMBER,
}
# Settings that may be negative.
SIGNED = ("clock_offset",)
# Ten years: times beyond the calendar cannot be written.
MAX_CLOCK_OFFSET = 315_576_000


class SettingError(ValueError):
    """A setting is unknown or invalid; the message names it."""


class SettingValues(TypedDict, total=False):
    """The types of the settings, as arguments."""

    delay: float
    api_key: str | None
    renderer: str
    max_concurrent: int
    download_limit: int
    list_unfinished: bool
    canned_bytes: int
    callback_hosts: tuple[str, ...]
    other_time_forms: str
    status_id_form: str
    download_url_base: str
    document_limit: int | None
    refusal: str
    synchronous_limit: float
    asynchronous_limit: float
    clock_offset: float


@dataclass(slots=True, kw_only=True)
class Settings:
    """The sandbox's settings, read at each use so that a change takes effect immediately."""

    # Seconds that rendering takes.
    delay: float = 0.0
    # None: accept any non-empty key.
    api_key: str | None = None
    # weasyprint: real PDFs. canned: tiny ready-made ones.
    renderer: str = "canned"
    # Maximum number of documents in progress; more create calls get 403.
    max_concurrent: int = 30
    # Downloads allowed per document; 1 simulates an account with the shortest retention.
    download_limit: int = 100
    # Whether doc_logs.json lists unfinished documents.
    list_unfinished: bool = True
    # Minimum size of a canned PDF, in bytes.
    canned_bytes: int = 0
    # Hosts that callbacks may be sent to, in addition to this machine.
    callback_hosts: tuple[str, ...] = ()
    # What a log does with a time in another form than DocRaptor's `2015-01-01 00:00:00 UTC`.
    # ignore: no filter. empty: an empty page. reject: 400.
    other_time_forms: str = "ignore"
    # Form of status IDs. DocRaptor has used several. long: 128 characters.
    status_id_form: str = "uuid"
    # Beginning of download URLs, such as http://docraptor.com; empty: as the client calls us.
    download_url_base: str = ""
    # Documents that the account's plan allows; more fail. Test documents do not count.
    document_limit: int | None = None
    # Why all documents fail, such as `recorded.ACCOUNT_CANCELED`; empty: they do not.
    refusal: str = ""
    # Seconds after which DocRaptor kills a document.
    synchronous_limit: float = 60.0
    asynchronous_limit: float = 600.0
    # Seconds by which its clock (the header Date, and created_at) is ahead of this host's.
    clock_offset: float = 0.0

    def now(self) -> datetime:
        """Return the time by the sandbox's clock."""
        return datetime.now(UTC) + timedelta(seconds=self.clock_offset)

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            SettingError: a setting is invalid.
        """
        self.change(**{field.name: getattr(self, field.name) for field in fields(self)})

    def change(self, **values: object) -> None:
        """Change settings; if one is invalid, nothing is changed.

        Raises:
            SettingError: a setting is unknown or invalid.
        """
        for name, value in values.items():
            _check(name, value)
        for name, value in values.items():
            setattr(self, name, tuple(value) if isinstance(value, list) else value)


def _check(name: str, value: object) -> None:
    if name not in TYPES:
        raise SettingError(f"{name}: unknown setting; valid settings are {', '.join(TYPES)}")
    types = TYPES[name]
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        expected = " or ".join(type_.__name__ for type_ in types)
        raise SettingError(f"{name}: {value!r} is not of type {expected}")
    if isinstance(value, NUMBER) and value < 0 and name not in SIGNED:
        raise SettingError(f"{name}: {value!r} is below zero")
    if name in CHOICES and value not in CHOICES[name]:
        raise SettingError(f"{name}: {value!r} is not one of {', '.join(CHOICES[name])}")
    if name == "clock_offset" and not abs(value) <= MAX_CLOCK_OFFSET:  # type: ignore[arg-type]
        raise SettingError(f"{name}: {value!r} is more than ten years")
