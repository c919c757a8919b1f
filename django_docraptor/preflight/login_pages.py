"""Internal. Recognize a page of this site that redirects those who are not logged in."""

from typing import Final

from django.conf import settings
from django.contrib.auth.mixins import LoginRequiredMixin, PermissionRequiredMixin
from django.urls import Resolver404, resolve

MIDDLEWARE: Final = "django.contrib.auth.middleware.LoginRequiredMiddleware"


def needs_login(path: str, *, is_signed: bool = False) -> bool:
    """Return whether DocRaptor would get the login page instead of the page of a path.

    A view says so by Django's decorators, mixins or middleware. Other means are not recognized.

    Args:
        path: as the URLconf sees it, without the query string.
        is_signed: whether the URL will have a token, which views with ``@document_page`` accept.
    """
    try:
        view = resolve(path).func
    except Resolver404:
        return False
    if getattr(view, "is_document_page", False):
        return not is_signed
    # Decorators that are applied later keep these attributes.
    has_decorator = hasattr(view, "login_url")
    view_class = getattr(view, "view_class", object)
    has_mixin = issubclass(view_class, LoginRequiredMixin | PermissionRequiredMixin)
    has_middleware = MIDDLEWARE in settings.MIDDLEWARE and getattr(view, "login_required", True)
    return has_decorator or has_mixin or has_middleware
