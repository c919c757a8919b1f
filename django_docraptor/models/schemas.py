"""Internal. The PostgreSQL schema of a tenant, if django-tenants chooses one for each connection.

Nothing else here knows tenants: each schema has its own jobs, and a worker works for one at a time.
"""

from django.db import connections, router

from django_docraptor.models.jobs import RenderJob


def current_schema() -> str:
    """Return the schema that is in force in this thread; an empty string without django-tenants.

    Another thread has its own connection, which is in the public schema.
    """
    connection = connections[router.db_for_write(RenderJob)]
    return str(getattr(connection, "schema_name", None) or "")
