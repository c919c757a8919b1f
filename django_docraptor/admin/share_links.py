"""Internal. Share links in the admin: the form, the page with the URL, and revoking.

The section on the job's page is the template ``share_links.html``, which that page includes.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final, cast

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError
from django.db.models import prefetch_related_objects
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_docraptor.admin.inputs import may_read
from django_docraptor.admin.job_operations import JobOperationsAdmin
from django_docraptor.admin.log_entries import log_change
from django_docraptor.conf import conf
from django_docraptor.durations import format_whole
from django_docraptor.models import LinkState, RenderJob, ShareLink
from django_docraptor.responses.permissions import has_permission
from django_docraptor.setting_values import MAX_SHARE_LIFETIME
from django_docraptor.sharing import MAX_DOWNLOADS, create_link, job_error, revoke
from django_docraptor.shortcuts import AnyUser
from django_docraptor.states import State

SHARE_PERMISSION: Final = "django_docraptor.share_renderjob"
VIEW_PERMISSION: Final = "django_docraptor.view_renderjob"
# Links that the page of a job shows: the latest.
MAX_LINKS_SHOWN: Final = 50
LIFETIMES: Final = (
    *(timedelta(days=days) for days in (1, 7, 30, 90)),
    MAX_SHARE_LIFETIME,
)

JobView = Callable[..., HttpResponse]


class ShareForm(forms.Form):
    """How long a new link works, and for how many downloads."""

    lifetime = forms.ChoiceField(label=_("The link works for"))
    max_downloads = forms.IntegerField(
        label=_("Maximum number of downloads"),
        min_value=1,
        max_value=MAX_DOWNLOADS,
        required=False,
        help_text=_("Leave it empty for any number of downloads."),
    )

    # Of this form: a double click creates one link, not two.
    form_id = forms.UUIDField(widget=forms.HiddenInput, required=False)

    def __init__(self, data: Any = None) -> None:
        default = conf.share_link_lifetime
        super().__init__(data, initial={"lifetime": _seconds_text(default), "form_id": uuid.uuid4})
        choices = sorted({*LIFETIMES, default})
        field = cast(forms.ChoiceField, self.fields["lifetime"])
        field.choices = [(_seconds_text(each), lifetime_text(each)) for each in choices]

    def link_id(self, job: RenderJob, user: AnyUser) -> uuid.UUID:
        """Return the ID of the link: the same one for the same user, job and values of the form."""
        values = self.cleaned_data
        chosen = f"{job.pk} {user.pk} {values['lifetime']} {values['max_downloads']}"
        return uuid.uuid5(values["form_id"] or uuid.uuid4(), chosen)

    def create_link(self, job: RenderJob, user: AnyUser) -> ShareLink:
        """Create a link as the valid form says.

        Raises:
            IntegrityError: the form has created its link already.
        """
        return create_link(
            job,
            self.link_id(job, user),
            expires_in=timedelta(seconds=float(self.cleaned_data["lifetime"])),
            max_downloads=self.cleaned_data["max_downloads"],
            by=user,
        )


def _seconds_text(lifetime: timedelta) -> str:
    return f"{lifetime.total_seconds():.0f}"


def lifetime_text(lifetime: timedelta) -> str:
    """Return a lifetime in words: whole days, hours, or else minutes."""
    return format_whole(max(round(lifetime.total_seconds() / 60), 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareSection:
    """What the page of a job shows of its downloads and its links."""

    links: list[ShareLink]
    has_more: bool
    may_share: bool
    may_revoke: bool


def load_section(request: HttpRequest, job: RenderJob) -> ShareSection | None:
    """Return the section of a job's page; ``None`` if there is nothing to show or to share.

    It costs no query for a job without a document, and else one or two.
    """
    if job.state != State.COMPLETED:
        return None
    may_revoke = may_share_jobs(request)
    is_shareable = job_error(job) is None
    links = list(job.share_links.order_by("-created_at", "-pk")[: MAX_LINKS_SHOWN + 1])
    if not (links or job.downloads or is_shareable):
        return None
    shown = links[:MAX_LINKS_SHOWN]
    prefetch_related_objects(shown, "created_by")  # users may be in another database
    return ShareSection(
        links=shown,
        has_more=len(links) > len(shown),
        may_share=may_revoke and is_shareable and may_read(request, job),
        may_revoke=may_revoke,
    )


def may_share_jobs(request: HttpRequest) -> bool:
    """Return whether the user may share the documents that they may read."""
    return has_permission(request, SHARE_PERMISSION) and has_permission(request, VIEW_PERMISSION)


class ShareLinksMixin(JobOperationsAdmin):
    """Adds the pages that share a job's document by a link."""

    def get_urls(self) -> list[URLPattern]:
        """Add the URLs of the form, of a link, and of its revocation."""
        prefix = f"{self.opts.app_label}_{self.opts.model_name}"
        views: list[tuple[str, str, JobView]] = [
            ("share/", "share", share_view),
            ("share/<uuid:link_key>/", "share_link", link_view),
            ("share/<uuid:link_key>/revoke/", "share_revoke", revoke_view),
        ]
        urls = [
            path(
                f"<uuid:key>/{route}",
                self.admin_site.admin_view(partial(view, self)),
                name=f"{prefix}_{name}",
            )
            for route, name, view in views
        ]
        return [*urls, *super().get_urls()]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Render the job page, with what its section of share links shows."""
        context |= {"share_section": load_section(request, kwargs["obj"])}
        return super().render_change_form(request, context, *args, **kwargs)

    def has_share_permission(self, request: HttpRequest, obj: RenderJob | None = None) -> bool:
        """Return whether the user may share documents by links."""
        return self.has_view_permission(request, obj) and has_permission(request, SHARE_PERMISSION)


def share_view(model_admin: ShareLinksMixin, request: HttpRequest, key: uuid.UUID) -> HttpResponse:
    """Show the form for a new link (GET), or create it and show its URL (POST).

    Raises:
        PermissionDenied: the user may not share jobs, or not read this one.
        Http404: there is no such job.
    """
    job = _readable_job(model_admin, request, key)
    if job_error(job):
        message = _("Only a completed document whose file is stored here can be shared by a link.")
        model_admin.message_user(request, message, messages.WARNING)
        return HttpResponseRedirect(model_admin.page_url("change", key))
    form = ShareForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            link = form.create_link(job, request.user)
        except IntegrityError:  # a double click
            link = _link_of(job, form.link_id(job, request.user))
        else:
            log_change(request, [job], _("Shared by link %(link)s."), link=link.short_id)
        return HttpResponseRedirect(model_admin.page_url("share_link", key, link.pk))
    title = gettext("Share “%(name)s” by a link") % {"name": job.name}
    return _render(model_admin, request, job, "share_form.html", title, form=form)


def link_view(
    model_admin: ShareLinksMixin, request: HttpRequest, key: uuid.UUID, link_key: uuid.UUID
) -> HttpResponse:
    """Show the URL of a link that works.

    Raises:
        PermissionDenied: the user may not share jobs, or not read this one.
        Http404: there is no such job or link.
    """
    job = _readable_job(model_admin, request, key)
    link = _link_of(job, link_key)
    if link.state != LinkState.ACTIVE:
        model_admin.message_user(request, _("This link does not work any more."), messages.WARNING)
        return HttpResponseRedirect(model_admin.page_url("change", key))
    url = link.url or request.build_absolute_uri(link.get_absolute_url())
    title = gettext("Link to “%(name)s”") % {"name": job.name}
    return _render(model_admin, request, job, "share_link.html", title, link=link, url=url)


def revoke_view(
    model_admin: ShareLinksMixin, request: HttpRequest, key: uuid.UUID, link_key: uuid.UUID
) -> HttpResponse:
    """Show the confirmation page (GET), or revoke the link (POST).

    Who may share may revoke, also a link to a document that they may not read.

    Raises:
        PermissionDenied: the user may not share jobs.
        Http404: there is no such job or link.
    """
    job = _job(model_admin, request, key)
    link = _link_of(job, link_key)
    if request.method != "POST":
        title = gettext("Revoke the link to “%(name)s”?") % {"name": job.name}
        return _render(model_admin, request, job, "share_revoke.html", title, link=link)
    if revoke(link, by=request.user):
        log_change(request, [job], _("Revoked share link %(link)s."), link=link.short_id)
        model_admin.message_user(request, _("The link was revoked."), messages.SUCCESS)
    else:
        message = _("The link had been revoked already.")
        model_admin.message_user(request, message, messages.WARNING)
    return HttpResponseRedirect(model_admin.page_url("change", key))


def _job(model_admin: ShareLinksMixin, request: HttpRequest, key: uuid.UUID) -> RenderJob:
    return model_admin.permitted_job(request, key, model_admin.has_share_permission)


def _readable_job(model_admin: ShareLinksMixin, request: HttpRequest, key: uuid.UUID) -> RenderJob:
    job = _job(model_admin, request, key)
    if not may_read(request, job):
        raise PermissionDenied
    return job


def _link_of(job: RenderJob, link_key: uuid.UUID) -> ShareLink:
    link = job.share_links.filter(pk=link_key).first()
    if link is None:
        raise Http404
    prefetch_related_objects([link], "created_by")
    return link


def _render(
    model_admin: ShareLinksMixin,
    request: HttpRequest,
    job: RenderJob,
    template: str,
    title: str,
    **context: Any,
) -> HttpResponse:
    """Return a page of the admin that is not cached, because it may have a link's URL."""
    url = model_admin.page_url("change", job.pk)
    response = model_admin.render_page(
        request, template, title, original=job, return_url=url, **context
    )
    add_never_cache_headers(response)
    return response
