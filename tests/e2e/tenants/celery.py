"""The site's Celery app, whose messages carry the tenant's schema."""

import os

from tenant_schemas_celery.app import CeleryApp

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.e2e.tenants.settings")

app = CeleryApp("site")
app.set_default()  # in all threads: the default is the app of tests/__init__
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
