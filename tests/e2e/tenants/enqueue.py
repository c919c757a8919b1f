"""Save an invoice of each tenant, and ask for its document; create the tenants first."""

import sys

import django

import tests.e2e.tenants.celery  # noqa: F401 - as a project's __init__ does
from tests.e2e.tenants import HOSTS


def main(number: str) -> None:
    """Do it."""
    django.setup()
    from django.contrib.auth import get_user_model
    from django_tenants.utils import get_public_schema_name, tenant_context

    from tests.apps.shop.documents import InvoicePDF
    from tests.apps.shop.models import Invoice
    from tests.e2e.tenants.models import Domain, Tenant

    Tenant.objects.get_or_create(schema_name=get_public_schema_name(), name="public")
    for schema, host in HOSTS.items():
        tenant, is_new = Tenant.objects.get_or_create(schema_name=schema, name=schema)
        with tenant_context(tenant):
            if is_new:
                Domain.objects.create(tenant=tenant, domain=host, is_primary=True)
                get_user_model().objects.create_superuser(schema, "a@example.com", schema)
            InvoicePDF.enqueue(Invoice.objects.create(number=f"{schema}-{number}"))


if __name__ == "__main__":
    main(sys.argv[1])
