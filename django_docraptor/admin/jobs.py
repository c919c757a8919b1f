"""Render jobs: a list to search, a page to read, and three steps behind a confirmation."""

import uuid
from copy import copy
from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.defaultfilters import filesizeformat
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from django_docraptor.admin import display
from django_docraptor.admin.accounts import waiting_accounts
from django_docraptor.admin.changelist import (
    MOST_COUNTED,
    BoundedPaginator,
    DocumentFilter,
    JobChangeList,
    search,
)
from django_docraptor.admin.inputs import stored_input
from django_docraptor.admin.sources import load_sources, source_link
from django_docraptor.admin.steps import CANCEL, EXPIRE, RETRY, Plan, Step
from django_docraptor.exceptions import DocRaptorError
from django_docraptor.health import report
from django_docraptor.models import RenderJob, logger
from django_docraptor.responses import may_download
from django_docraptor.states import State

STEPS = (RETRY, CANCEL, EXPIRE)
# In place of a result's, for a hosted document.
HOSTED_FIELDS = ("public_address", ("hosted_expires_at", "expired_at"), "number_of_pages")
# Lines of history that a page shows; a job that was called back often may have more.
LINES_SHOWN = 200
# Jobs that one confirmation is about: somebody should be able to read it.
MOST_AT_ONCE = 500
# Name under which a job carries whether the user of its page may read its document.
READABLE = "_docraptor_readable"
# Seconds after which the page of an unfinished job looks again: soon while it is young.
REFRESH_SOON, REFRESH_LATER, YOUNG = 5, 30, 300

if TYPE_CHECKING:
    JobModelAdmin = admin.ModelAdmin[RenderJob]
else:
    JobModelAdmin = admin.ModelAdmin


@admin.register(RenderJob)
class RenderJobAdmin(JobModelAdmin):
    """Nothing is edited here: the state machine is the only writer."""

    list_display = [
        "title",
        "standing",
        "source_link",
        "owner",
        "number_of_pages",
        "time_taken",
        "created_at",
    ]
    list_filter = ["state", "document_type", "test", DocumentFilter, "created_at"]
    list_select_related = ["owner", "content_type"]
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = BoundedPaginator
    ordering = ["-created_at"]
    # Only what an index sorts.
    sortable_by = ["created_at"]
    search_fields = ["id", "status_id", "idempotency_key", "name"]
    search_help_text = _("The id, status id or idempotency key in full, or how the name starts.")
    actions = ["retry_selected", "cancel_selected"]
    view_on_site = False
    empty_value_display = display.NOTHING

    readonly_fields = [
        "state_badge",
        "kind",
        "source_link",
        "time_taken",
        "size",
        "download_link",
        "public_address",
    ]
    fieldsets = [
        (
            None,
            {
                "fields": [
                    ("state_badge", "kind"),
                    ("name", "document"),
                    ("source_link", "owner"),
                ]
            },
        ),
        (
            _("Result"),
            {"fields": [("download_link", "number_of_pages"), ("size", "storage"), "sha256"]},
        ),
        (
            _("Times"),
            {
                "fields": [
                    ("created_at", "submitted_at"),
                    ("rendered_at", "finished_at"),
                    ("time_taken", "due_at"),
                ]
            },
        ),
        (
            _("At DocRaptor"),
            {
                "fields": [
                    ("attempt", "account"),
                    ("status_id", "fetch_attempts"),
                    ("callback_at", "deadline_at"),
                    ("idempotency_key", "priority"),
                ]
            },
        ),
    ]

    class Media:
        css = {"all": ["django_docraptor/admin.css"]}

    # Who may do what.

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never: documents are ordered by code."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Never: a job changes by its steps."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Never: without its row, a stored file would be nobody's."""
        return False

    def has_retry_permission(self, request: HttpRequest, obj: RenderJob | None = None) -> bool:
        """Whether the user may retry jobs: it may cost a document each."""
        return self._may(RETRY, request, obj)

    def has_cancel_permission(self, request: HttpRequest, obj: RenderJob | None = None) -> bool:
        """Whether the user may cancel jobs."""
        return self._may(CANCEL, request, obj)

    def has_expire_permission(self, request: HttpRequest, obj: RenderJob | None = None) -> bool:
        """Whether the user may end hosted documents."""
        return self._may(EXPIRE, request, obj)

    def _may(self, step: Step, request: HttpRequest, job: RenderJob | None) -> bool:
        user = cast(Any, request.user)
        return self.has_view_permission(request, job) and user.has_perm(step.permission)

    # The list.

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[JobChangeList]:
        """The list that stays fast."""
        return JobChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[RenderJob], search_term: str
    ) -> tuple[models.QuerySet[RenderJob], bool]:
        """By a key in full, or by the start of the name."""
        return search(queryset, search_term), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list, below a word about jobs that are late and accounts that are paused."""
        said = {
            "lateness": report().lateness(),
            "waiting_accounts": waiting_accounts(),
            "most_counted": MOST_COUNTED,
        }
        return super().changelist_view(request, {**said, **(extra_context or {})})

    @admin.display(description=_("name"))
    def title(self, job: RenderJob) -> str:
        """Name; below it the recipe, the type, and whether it is a test."""
        return display.with_note(job.name, job.document, self.kind(job))

    @admin.display(description=_("state"))
    def standing(self, job: RenderJob) -> str:
        """State; below it the attempt, and why it failed or where the file is."""
        attempt = _("attempt %(number)d") % {"number": job.attempt} if job.attempt else ""
        file = self.download_link(job) if job.state == State.COMPLETED else ""
        return display.with_note(display.badge(job.state), attempt, job.error_code, file)

    @admin.display(description=_("state"))
    def state_badge(self, job: RenderJob) -> str:
        """Where the job stands."""
        return display.badge(job.state)

    @admin.display(description=_("type"))
    def kind(self, job: RenderJob) -> str:
        """PDF, XLS or XLSX, whether it is a test, and whether it is public."""
        return display.kind(job)

    @admin.display(description=_("source"))
    def source_link(self, job: RenderJob) -> str:
        """What the document was made from."""
        return source_link(self.admin_site, job)

    @admin.display(description=_("duration"))
    def time_taken(self, job: RenderJob) -> str:
        """From order to end."""
        return display.time_taken(job)

    @admin.display(description=_("size"))
    def size(self, job: RenderJob) -> str:
        """Size of the file."""
        return display.NOTHING if job.file_size is None else filesizeformat(job.file_size)

    @admin.display(description=_("file"))
    def download_link(self, job: RenderJob) -> str:
        """Where to get the document, once it is there."""
        if job.state != State.COMPLETED or (job.hosted and not job.is_public):
            return display.NOTHING
        return format_html('<a href="{}">{}</a>', job.get_absolute_url(), _("Download"))

    @admin.display(description=_("public address"))
    def public_address(self, job: RenderJob) -> str:
        """Where anyone may read a hosted document, for those whom its document lets."""
        if job.is_public and not getattr(job, READABLE, False):
            return str(_("Hidden: this document's rule does not let you read it."))
        return display.public_address(job)

    # The page of a job.

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> RenderJob | None:
        """One job, with its source if the user may see it."""
        job = super().get_object(request, object_id, from_field)
        if job is not None:
            load_sources(self.admin_site, request, [job])
        return job

    def get_fieldsets(self, request: HttpRequest, obj: RenderJob | None = None) -> Any:
        """The sections; that of a result only where there is one."""
        first, *others = self.fieldsets
        if obj is not None and obj.hosted:
            others[0] = (_("Public"), {"fields": HOSTED_FIELDS})
        elif obj is not None and not obj.file_size and not obj.number_of_pages:
            del others[0]
        return [first, *others]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """The page: the job's columns, its errors and its history; its input for its readers."""
        job: RenderJob = kwargs["obj"]
        readable = _is_readable(request, job)
        setattr(job, READABLE, readable)
        context |= {
            "history": display.history(job.events.order_by("-id")[:LINES_SHOWN])[::-1],
            "stored": stored_input(job) if readable else None,
            "is_hidden": not readable,
            "refresh": refresh_interval(request, job),
            "steps": [step for step in STEPS if self._is_open(step, request, job)],
        }
        return super().render_change_form(request, context, *args, **kwargs)

    def _is_open(self, step: Step, request: HttpRequest, job: RenderJob) -> bool:
        return step.outcome(job) is not None and self._may(step, request, job)

    # The steps.

    def get_urls(self) -> list[URLPattern]:
        """The admin's URLs, and the confirmations."""
        view = self.admin_site.admin_view(self.step_view)
        names = self.opts.app_label, self.opts.model_name
        steps = [
            path(
                f"<uuid:key>/{step.name}/",
                view,
                {"step": step},
                name="{}_{}_{}".format(*names, step.name),
            )
            for step in STEPS
        ]
        return [*steps, *super().get_urls()]

    def step_view(self, request: HttpRequest, key: uuid.UUID, step: Step) -> HttpResponse:
        """Confirm a step for one job (GET), or take it (POST).

        Raises:
            PermissionDenied: the user may not take the step.
            Http404: there is no such job.
        """
        job = self.get_object(request, str(key))
        if not self._may(step, request, job):
            raise PermissionDenied
        if job is None:
            raise Http404
        page = reverse(
            f"admin:{self.opts.app_label}_{self.opts.model_name}_change",
            args=[key],
            current_app=self.admin_site.name,
        )
        return self._confirm(request, step, [job], back=page)

    @admin.action(permissions=["retry"], description=_("Retry selected %(verbose_name_plural)s"))
    def retry_selected(
        self, request: HttpRequest, queryset: models.QuerySet[RenderJob]
    ) -> HttpResponse:
        """Retry what has failed among the selected jobs."""
        return self._confirm_selected(request, RETRY, queryset)

    @admin.action(permissions=["cancel"], description=_("Cancel selected %(verbose_name_plural)s"))
    def cancel_selected(
        self, request: HttpRequest, queryset: models.QuerySet[RenderJob]
    ) -> HttpResponse:
        """Cancel what is unfinished among the selected jobs."""
        return self._confirm_selected(request, CANCEL, queryset)

    def _confirm_selected(
        self, request: HttpRequest, step: Step, queryset: models.QuerySet[RenderJob]
    ) -> HttpResponse:
        jobs = list(queryset[: MOST_AT_ONCE + 1])
        if len(jobs) > MOST_AT_ONCE:
            said = _("At most %(count)d jobs at once: select fewer.") % {"count": MOST_AT_ONCE}
            self.message_user(request, said, messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())
        return self._confirm(request, step, jobs, back=request.get_full_path())

    def _confirm(
        self, request: HttpRequest, step: Step, jobs: list[RenderJob], *, back: str
    ) -> HttpResponse:
        plan = Plan.make(step, jobs)
        seen = request.POST.get("seen", "")
        if not plan.jobs:
            self.message_user(request, step.nothing, messages.WARNING)
        elif request.method == "POST" and seen == plan.fingerprint:
            self._run(request, plan)
        else:
            return self._ask(request, plan, back=back, has_changed=bool(seen))
        return HttpResponseRedirect(back)

    def _run(self, request: HttpRequest, plan: Plan) -> None:
        """Take the step, and say what came of it."""
        try:
            done = plan.run(cast(AbstractBaseUser, request.user))
        except DocRaptorError as error:
            said = _("DocRaptor could not be reached, or refused: %(why)s") % {"why": error}
            self.message_user(request, said, messages.ERROR)
        else:
            self.message_user(request, plan.step.done % {"count": done}, messages.SUCCESS)

    def _ask(
        self, request: HttpRequest, plan: Plan, *, back: str, has_changed: bool
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": plan.title,
            "opts": self.opts,
            "media": self.media,
            "plan": plan,
            "back": back,
            "has_changed": has_changed,
            "action": request.POST.get("action", ""),
            "action_checkbox_name": ACTION_CHECKBOX_NAME,
        }
        request.current_app = self.admin_site.name
        template = "admin/django_docraptor/renderjob/confirm_step.html"
        return TemplateResponse(request, template, context)


def refresh_interval(request: HttpRequest, job: RenderJob) -> int:
    """Seconds until the page looks again; 0 if the job is over, or the reader wants peace."""
    if job.is_final or "still" in request.GET:
        return 0
    age = (timezone.now() - job.created_at).total_seconds()
    return REFRESH_SOON if age < YOUNG else REFRESH_LATER


def _is_readable(request: HttpRequest, job: RenderJob) -> bool:
    """What the document's rule says; a rule that fails, as for a source that is gone, hides."""
    try:
        # Of a copy: a rule may load the source, which is shown only to those who may view it.
        return may_download(request, copy(job))
    except Exception:  # noqa: BLE001 - the rule is the project's own
        logger.exception("Job %s: may_download() of its document failed", job.pk)
        return False
