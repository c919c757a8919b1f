"""Run the engine in a process of its own and kill it at a named point.

``python -m tests.support.crash POINT`` with the parent's settings as JSON on standard input.
"""

import importlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any

# Point → (where, function, before or after it). After: its work is done, nothing later is.
POINTS = {
    "before_intent": ("django_docraptor.lifecycle.submission", "prepare", "before"),
    "after_intent": ("django_docraptor.client.Client", "create_async_doc", "before"),
    "after_post": ("django_docraptor.client.Client", "create_async_doc", "after"),
    "after_accept": ("django_docraptor.lifecycle.submission", "accepted", "after"),
    "after_status": ("django_docraptor.client.Client", "get_status", "after"),
    "before_body": ("django_docraptor.client.Client", "download", "before"),
    "after_body": ("django_docraptor.client.Client", "download", "after"),
    "after_spool": ("django_docraptor.spool", "finalize", "after"),
    "before_save": ("django_docraptor.spool", "size_and_sha256", "after"),
    "after_save": ("django_docraptor.lifecycle.collection", "confirm", "before"),
    "after_confirm": ("django_docraptor.lifecycle.collection", "confirm", "after"),
    "before_signal": ("django_docraptor.models.RenderEvent", "announce", "before"),
}
# Points of a prune.
PRUNING = {
    "before_delete": ("django.db.models.query.QuerySet", "delete", "before"),
    "after_delete": ("django_docraptor.retention", "_delete_rows", "after"),
    "after_file": ("django_docraptor.retention", "_is_gone", "after"),
}
KILLED = 137


def main(point: str) -> None:
    """Take over the parent's settings, arm the point, run the engine once."""
    given = json.load(sys.stdin)
    module = importlib.import_module("tests.settings")
    module.DATABASES["default"]["NAME"] = given["database"]
    module.DOCRAPTOR = given["docraptor"]
    module.STORAGES["docraptor"] = given["storage"]
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    importlib.import_module("django").setup()
    if given.get("listen"):
        signals = importlib.import_module("django_docraptor.signals")
        signals.document_completed.connect(_listen, weak=False)
    if point in PRUNING:
        _arm(*PRUNING[point])
        management = importlib.import_module("django.core.management")
        management.call_command("docraptor_prune", "--older-than", "1")
    _arm(*POINTS[point])
    importlib.import_module("django_docraptor.lifecycle").run()


def _listen(**kwargs: Any) -> None:
    """Somebody listens."""


def _arm(where: str, name: str, moment: str) -> None:
    owner: Any = None
    try:
        owner = importlib.import_module(where)
    except ModuleNotFoundError:
        home, _, cls = where.rpartition(".")
        owner = getattr(importlib.import_module(home), cls)
    setattr(owner, name, _deadly(getattr(owner, name), moment))


def _deadly(function: Callable[..., Any], moment: str) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        if moment == "after":
            function(*args, **kwargs)
        os._exit(KILLED)

    return run


if __name__ == "__main__":
    main(sys.argv[1])
