"""Internal. Take a token out of a request, so that logs and error reports do not have it."""

from typing import Final

from django.http import HttpRequest

HIDDEN: Final = "…"


def hide_in_headers(request: HttpRequest, token: str) -> None:
    """Replace a token in the request's variables, such as RAW_URI, which access logs have."""
    for name, value in request.META.items():
        if token and isinstance(value, str):
            request.META[name] = value.replace(token, HIDDEN)


def hide_in_path(request: HttpRequest, token: str) -> None:
    """Replace a token in the request's path, wherever Django and its servers keep it."""
    hide_in_headers(request, token)
    request.path = request.path.replace(token, HIDDEN)
    request.path_info = request.path_info.replace(token, HIDDEN)
    match = request.resolver_match
    if match is not None:
        for captured in (match.kwargs, getattr(match, "captured_kwargs", None) or {}):
            captured.update({name: HIDDEN for name, value in captured.items() if value == token})
    scope = getattr(request, "scope", None)
    if scope:  # access logs of ASGI servers
        scope["path"] = request.path
        scope["raw_path"] = request.path.encode()
