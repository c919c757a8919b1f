"""Tenants, and the hosts at which they are."""

from django.db import models
from django_tenants.models import DomainMixin, TenantMixin


class Tenant(TenantMixin):
    """A tenant."""

    name: "models.CharField[str, str]" = models.CharField(max_length=100)
    auto_create_schema = True


class Domain(DomainMixin):
    """A host of a tenant."""
