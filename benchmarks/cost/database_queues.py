"""The same message by queues that store it in the database: procrastinate, and django-tasks-db."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import connection
from django_tasks_db.backend import DatabaseBackend
from procrastinate import App, SyncPsycopgConnector

from django_docraptor.runners import import_django_tasks

Call = Callable[[], object]


@import_django_tasks().task
def message(pk: int) -> None:
    """Do nothing: no worker runs it."""


@contextmanager
def database_queues() -> Iterator[dict[str, Call]]:
    """Yield calls that enqueue a task with a primary key, by the name of what is called."""
    backend = DatabaseBackend("default", {"QUEUES": [], "OPTIONS": {}})
    parameters = connection.get_connection_params()
    server = {
        name: parameters[name]
        for name in ("host", "port", "user", "password", "dbname")
        if parameters.get(name)
    }
    with App(connector=SyncPsycopgConnector(kwargs=server, min_size=1, max_size=1)).open() as app:
        app.schema_manager.apply_schema()
        deferred = app.task(message.func, name="message")
        yield {
            "procrastinate defer": lambda: deferred.defer(pk=1),
            "django-tasks-db enqueue": lambda: backend.enqueue(message, (1,), {}),
        }
