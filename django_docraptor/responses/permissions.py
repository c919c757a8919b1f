"""Internal. Which documents a request's user may download, and who may see previews."""

from collections.abc import Callable
from typing import Final

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.http import HttpRequest

from django_docraptor import registry
from django_docraptor.models import RenderGroup, RenderJob

PREVIEW_PERMISSION: Final = "django_docraptor.preview_documents"


def may_download(request: HttpRequest, job: RenderJob) -> bool:
    """Return whether the user may download the job, as its document decides.

    Without a document: its owner, and users who may view jobs.
    """
    return user_may_download(request.user, job)


def user_may_download(user: AbstractBaseUser | AnonymousUser, job: RenderJob) -> bool:
    """Return whether a user may download the job: see :func:`may_download`."""
    if not user.is_authenticated or not user.is_active:
        return False
    document = registry.find(job.document)
    return document.may_download(user, job) if document else job.may_be_read_by(user)


def may_download_group(request: HttpRequest, group: RenderGroup) -> bool:
    """Return whether the user may have the file of a group.

    That is its owner, and users who may view jobs; and every document with a rule of its own must
    let the user download it.
    """
    user = request.user
    if not group.may_be_read_by(user):  # type: ignore[arg-type] # also an anonymous one
        return False
    labels = group.jobs.order_by().values_list("document", flat=True).distinct()
    ruled = [label for label in labels if registry.has_download_rule(label)]
    jobs = group.jobs.filter(document__in=ruled).exclude(file="") if ruled else ()
    return all(user_may_download(user, job) for job in jobs)


def has_permission(request: HttpRequest, permission: str) -> bool:
    """Return whether the request's user has a permission."""
    # User models without permissions are valid.
    has_perm: Callable[[str], bool] = getattr(request.user, "has_perm", lambda permission: False)
    return has_perm(permission)


def may_preview(request: HttpRequest) -> bool:
    """Return whether to show previews: to all with ``DEBUG``, and to permitted staff."""
    user = getattr(request, "user", None)  # a site may have no users
    is_staff = bool(user and user.is_active and getattr(user, "is_staff", False))
    return settings.DEBUG or (is_staff and has_permission(request, PREVIEW_PERMISSION))
