"""What can be set in a sandbox, and the check of values that come from outside.

Knows names, types and bounds only; no HTTP, no documents.
"""

from dataclasses import dataclass, fields

RENDERERS = ("weasyprint", "canned")

# A whole number is a fine number of seconds, but True is no number of anything.
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
    "synchronous_limit": NUMBER,
    "asynchronous_limit": NUMBER,
}


class SettingError(ValueError):
    """A setting that does not exist or has an impossible value; the text names it."""


@dataclass(slots=True, kw_only=True)
class Settings:
    """The sandbox's settings, read at each use so that a change works at once."""

    # Seconds that a document takes to be made.
    delay: float = 0.0
    # None: any non-empty key is good.
    api_key: str | None = None
    renderer: str = "canned"
    # Documents in the making at once, beyond which a create is answered 403.
    max_concurrent: int = 30
    # Downloads of one document; 1 plays an account with the shortest retention.
    download_limit: int = 100
    # Whether doc_logs.json lists documents that are still being made.
    list_unfinished: bool = True
    # Smallest size of a canned PDF, in bytes.
    canned_bytes: int = 0
    # Hosts that callbacks may go to, besides this machine.
    callback_hosts: tuple[str, ...] = ()
    # Seconds after which the service kills a document.
    synchronous_limit: float = 60.0
    asynchronous_limit: float = 600.0

    def __post_init__(self) -> None:
        self.change(**{field.name: getattr(self, field.name) for field in fields(self)})

    def change(self, **values: object) -> None:
        """Set some settings; raise SettingError, and change nothing, if one is wrong."""
        for name, value in values.items():
            _check(name, value)
        for name, value in values.items():
            setattr(self, name, tuple(value) if isinstance(value, list) else value)


def _check(name: str, value: object) -> None:
    if name not in TYPES:
        raise SettingError(f"{name}: no such setting; there are {', '.join(TYPES)}")
    expected = TYPES[name]
    if not isinstance(value, expected) or (isinstance(value, bool) and bool not in expected):
        wanted = " or ".join(kind.__name__ for kind in expected)
        raise SettingError(f"{name}: {value!r} is not of type {wanted}")
    if isinstance(value, NUMBER) and value < 0:
        raise SettingError(f"{name}: {value!r} is below zero")
    if name == "renderer" and value not in RENDERERS:
        raise SettingError(f"renderer: {value!r} is not one of {', '.join(RENDERERS)}")
