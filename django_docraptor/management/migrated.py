"""Internal. Tell a missing migration from a database that is down."""

from django.db import Error, connections, router
from django.db.migrations.executor import MigrationExecutor

from django_docraptor.models import RenderJob

LABEL = "django_docraptor"
NOT_MIGRATED = "The tables of django_docraptor are missing or old. Run manage.py migrate."


def is_migrated() -> bool:
    """Return whether all migrations of the app are applied; also if the database is down."""
    connection = connections[router.db_for_write(RenderJob)]
    try:
        executor = MigrationExecutor(connection)
        targets = [node for node in executor.loader.graph.leaf_nodes() if node[0] == LABEL]
        return not executor.migration_plan(targets)
    except Error:
        return True
