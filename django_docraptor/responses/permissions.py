"""Internal. Which documents a request's user may download."""

from collections.abc import Callable

from django.http import HttpRequest

from django_docraptor import registry
from django_docraptor.models import RenderJob


def may_download(request: HttpRequest, job: RenderJob) -> bool:
    """Return whether the user may download the job, as its document decides.

    Without a document: its owner, and users who may view jobs.
    """
    user = request.user
    if not user.is_authenticated or not user.is_active:
        return False
    document = registry.find(job.document)
    return document.may_download(user, job) if document else job.may_be_read_by(user)


def has_permission(request: HttpRequest, permission: str) -> bool:
    """Return whether the request's user has a permission."""
    # User models without permissions are valid.
    has_perm: Callable[[str], bool] = getattr(request.user, "has_perm", lambda permission: False)
    return has_perm(permission)
