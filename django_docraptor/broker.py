"""Whether Celery has been given a broker. Without one it would call on RabbitMQ on this host."""

from typing import Any


def broker_of(celery: Any) -> str:
    """URL of a Celery app's broker, the first one of several; blank if it was given none."""
    given = celery.conf.broker_url or celery.conf.broker_write_url
    return str((given[0] if isinstance(given, (list, tuple)) else given) or "")


def takes_messages(celery: Any) -> bool:
    """Whether a message has somewhere to go: to a broker, or to a task that is run at once."""
    return bool(celery.conf.task_always_eager or broker_of(celery))
