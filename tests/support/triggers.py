"""What a fixture returns that connects a trigger for the duration of a test."""

from collections.abc import Callable

from django_docraptor.documents.triggers import Trigger

# It is disconnected at the end, as all that a test declares: see `tests/conftest.py`.
Connect = Callable[..., Trigger]
