"""Settings of a site of django-tenants, as docs/how-to/databases.md has them."""

import json
import os

from tests.e2e.settings import *  # noqa: F403
from tests.e2e.settings import DATABASES, DOCRAPTOR, MIDDLEWARE, STORAGES

SHARED_APPS = ["django_tenants", "tests.e2e.tenants", "django.contrib.contenttypes"]
TENANT_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django_docraptor",
    "tests.apps.shop",
]
INSTALLED_APPS = [*SHARED_APPS, *(app for app in TENANT_APPS if app not in SHARED_APPS)]
INSTALLED_APPS += json.loads(os.environ.get("SITE_APPS", "[]"))
TENANT_MODEL = "tenants.Tenant"
TENANT_DOMAIN_MODEL = "tenants.Domain"
DATABASES["default"]["ENGINE"] = "django_tenants.postgresql_backend"
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]
MIDDLEWARE = ["django_tenants.middleware.main.TenantMainMiddleware", *MIDDLEWARE]
ALLOWED_HOSTS = ["*"]
STORAGES["docraptor"] = {"BACKEND": "tests.e2e.tenants.storage.DocumentStorage"}
CELERY_BEAT_SCHEDULER = "tenant_schemas_celery.scheduler:TenantAwareScheduler"


def callback_base_url() -> str:
    """Return the URL of the tenant in force."""
    from django.db import connection
    from django_tenants.utils import get_tenant_domain_model

    domains = get_tenant_domain_model().objects.filter(is_primary=True)
    host = domains.get(tenant__schema_name=connection.schema_name).domain
    return f"http://{host}:{os.environ['SITE_PORT']}"


DOCRAPTOR |= {
    "CALLBACK_BASE_URL": callback_base_url,
    "ACCOUNTS": "tests.e2e.tenants.accounts.TenantAccounts",
}
