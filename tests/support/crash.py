"""Run the engine in a separate process and kill it at a given point.

``python -m tests.support.crash POINT`` with the parent's settings as JSON on standard input.
"""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from django.db import connection

# Name: (module or class, function, whether to kill before or after the call).
ENGINE_POINTS = {
    "before_intent": ("django_docraptor.lifecycle.submission", "prepare_batch", "before"),
    "after_intent": ("django_docraptor.client.Client", "create_async_doc", "before"),
    "after_post": ("django_docraptor.client.Client", "create_async_doc", "after"),
    "after_accept": ("django_docraptor.lifecycle.submission", "mark_accepted", "after"),
    "after_status": ("django_docraptor.client.Client", "get_status", "after"),
    "before_body": ("django_docraptor.client.Client", "download", "before"),
    "after_body": ("django_docraptor.client.Client", "download", "after"),
    "after_spool": ("django_docraptor.spool", "finalize", "after"),
    "before_save": ("django_docraptor.spool", "size_and_sha256", "after"),
    "after_save": ("django_docraptor.lifecycle.downloading", "confirm_stored", "before"),
    "after_confirm": ("django_docraptor.lifecycle.downloading", "confirm_stored", "after"),
    "before_signal": ("django_docraptor.models.RenderEvent", "send_signal", "before"),
}
# The same for docraptor_prune.
PRUNE_POINTS = {
    "before_delete": ("django.db.models.query.QuerySet", "delete", "before"),
    "after_delete": ("django_docraptor.retention", "_delete_rows", "after"),
    "after_file": ("django_docraptor.discarded_files", "_delete_file", "after"),
}
KILLED = 137


def run_until_killed(point: str, settings: Any, *, listen: bool = False) -> None:
    """Run the engine in a separate process that is killed at ``point``."""
    given = {
        "database": str(connection.settings_dict["NAME"]),
        "docraptor": settings.DOCRAPTOR,
        "storage": settings.STORAGES["docraptor"],
        "listen": listen,
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.crash", point],
        input=json.dumps(given, default=str),
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == KILLED, done.stderr


def main(point: str) -> None:
    """Apply the parent's settings, install the kill point, and run the engine once."""
    given = json.load(sys.stdin)
    module = importlib.import_module("tests.settings")
    module.DATABASES["default"]["NAME"] = given["database"]
    module.DOCRAPTOR = given["docraptor"]
    module.STORAGES["docraptor"] = given["storage"]
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    importlib.import_module("django").setup()
    if given.get("listen"):
        signals = importlib.import_module("django_docraptor.signals")
        signals.document_completed.connect(_ignore, weak=False)
    if point in PRUNE_POINTS:
        _kill_at(*PRUNE_POINTS[point])
        management = importlib.import_module("django.core.management")
        management.call_command("docraptor_prune", "--older-than", "1")
    _kill_at(*ENGINE_POINTS[point])
    importlib.import_module("django_docraptor.lifecycle").run_once()


def _ignore(**kwargs: Any) -> None:
    """Receive the signal and do nothing."""


def _kill_at(where: str, name: str, moment: str) -> None:
    owner: Any = None
    try:
        owner = importlib.import_module(where)
    except ModuleNotFoundError:
        home, _, cls = where.rpartition(".")
        owner = getattr(importlib.import_module(home), cls)
    setattr(owner, name, _killing(getattr(owner, name), moment))


def _killing(function: Callable[..., Any], moment: str) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        if moment == "after":
            function(*args, **kwargs)
        os._exit(KILLED)

    return run


if __name__ == "__main__":
    main(sys.argv[1])
