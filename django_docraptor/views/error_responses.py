"""Internal. Error responses to URLs with a token."""

from django.http import HttpResponse


def unlogged_error(status: int, **headers: str) -> HttpResponse:
    """Return an error response that Django does not log, because its URL contains a token."""
    response = HttpResponse(status=status, headers=headers)
    response._has_been_logged = True  # type: ignore[attr-defined] # read by django.utils.log
    return response
