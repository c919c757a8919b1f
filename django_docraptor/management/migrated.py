"""Internal. Tell a missing migration from a database that is down."""

from django.db import DEFAULT_DB_ALIAS, Error, connections, router
from django.db.migrations.executor import MigrationExecutor

from django_docraptor.models import RenderJob
from django_docraptor.models.schemas import current_schema

LABEL = "django_docraptor"


def is_migrated() -> bool:
    """Return whether all migrations of the app are applied; also if the database is down.

    Django also records those that a router keeps out of a database, or out of a schema.
    """
    connection = connections[router.db_for_write(RenderJob)]
    try:
        if RenderJob._meta.db_table not in connection.introspection.table_names():
            return False
        executor = MigrationExecutor(connection)
        targets = [node for node in executor.loader.graph.leaf_nodes() if node[0] == LABEL]
        return not executor.migration_plan(targets)
    except Error:
        return True


def not_migrated_message() -> str:
    """Return where the tables are missing, and what to run."""
    alias = router.db_for_write(RenderJob)
    place = "" if alias == DEFAULT_DB_ALIAS else f" in the database {alias!r}"
    if schema := current_schema():
        place += f" in the schema {schema!r}"
    option = "" if alias == DEFAULT_DB_ALIAS else f" --database {alias}"
    return (
        f"The tables of django_docraptor are missing or old{place}. Run manage.py migrate{option}."
    )
