"""Settings of a site whose jobs are in another database than its users and sources."""

from copy import deepcopy
from typing import Any

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES, _scratch


class DocRaptorRouter:
    """The router of docs/how-to/databases.md."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "jobs" if model._meta.app_label == "django_docraptor" else None

    db_for_write = db_for_read

    def allow_relation(self, first: Any, second: Any, **hints: Any) -> bool | None:
        labels = {first._meta.app_label, second._meta.app_label}
        return True if "django_docraptor" in labels else None

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        if app_label == "django_docraptor":
            return db == "jobs"
        return False if db == "jobs" else None


DATABASE_ROUTERS = ["tests.e2e.two_databases.DocRaptorRouter"]
DATABASES["jobs"] = deepcopy(DATABASES["default"])
if DATABASES["jobs"]["ENGINE"].endswith("sqlite3"):
    DATABASES["jobs"] |= {
        "NAME": _scratch / "jobs.sqlite3",
        "TEST": {"NAME": str(_scratch / "test-jobs.sqlite3")},
    }
else:
    DATABASES["jobs"]["NAME"] = f"{DATABASES['default']['NAME']}_jobs"
