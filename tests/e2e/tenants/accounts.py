"""The site's accounts: one for each tenant, with a key of its own."""

from collections.abc import Mapping
from typing import Any

from django.db import connection

from tests.e2e.tenants.models import Tenant


class TenantAccounts:
    """Each tenant has the account ``default`` in its schema.

    To the sandbox each key is an account: the documents of another one cannot be asked for.
    """

    def names(self) -> list[str]:
        """Return the names in the schema in force."""
        return ["default"]

    def get(self, name: str) -> Mapping[str, Any] | None:
        """Return the settings of the tenant in force."""
        if name != "default":
            return None
        tenant = Tenant.objects.get(schema_name=getattr(connection, "schema_name"))  # noqa: B009
        return {"API_KEY": f"key-of-{tenant.name}", "MAX_IN_FLIGHT": 5}
