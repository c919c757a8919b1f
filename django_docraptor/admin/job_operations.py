"""Internal. Confirm and run the operations on jobs: one job from its page, many from the list."""

import uuid
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _

from django_docraptor.admin.again import may_generate_again
from django_docraptor.admin.log_entries import log_operation
from django_docraptor.admin.operations import CANCEL, EXPIRE, RELEASE, RETRY, Operation, Plan
from django_docraptor.admin.retry_question import retry_question
from django_docraptor.exceptions import DocRaptorError
from django_docraptor.models import RenderJob

OPERATIONS = (RETRY, RELEASE, CANCEL, EXPIRE)

if TYPE_CHECKING:
    JobModelAdmin = admin.ModelAdmin[RenderJob]
else:
    JobModelAdmin = admin.ModelAdmin


class JobOperationsAdmin(JobModelAdmin):
    """The confirmation pages of the operations."""

    def _has_operation_permission(
        self, operation: Operation, request: HttpRequest, job: RenderJob | None
    ) -> bool:
        user = cast(Any, request.user)
        return self.has_view_permission(request, job) and user.has_perm(operation.permission)

    def _is_available(self, operation: Operation, request: HttpRequest, job: RenderJob) -> bool:
        if operation.get_outcome(job) is None:
            return False
        return self._has_operation_permission(operation, request, job)

    def _again_url(self, request: HttpRequest, job: RenderJob) -> str:
        if not job.is_final or not may_generate_again(self, request, job):
            return ""
        return self.page_url("again", job.pk)

    def get_urls(self) -> list[URLPattern]:
        """Add the URLs of the confirmation pages."""
        view = self.admin_site.admin_view(self.operation_view)
        urls = [
            path(
                f"<uuid:key>/{operation.name}/",
                view,
                {"operation": operation},
                name=f"{self.opts.app_label}_{self.opts.model_name}_{operation.name}",
            )
            for operation in OPERATIONS
        ]
        return [*urls, *super().get_urls()]

    def page_url(self, name: str, *args: Any) -> str:
        """Return the URL of a page of this admin, such as ``change`` of a job."""
        view = f"admin:{self.opts.app_label}_{self.opts.model_name}_{name}"
        return reverse(view, args=args, current_app=self.admin_site.name)

    def permitted_job(
        self, request: HttpRequest, key: uuid.UUID, may: Callable[..., bool]
    ) -> RenderJob:
        """Return a job that the user may do something with.

        Args:
            request: of the user.
            key: the job's.
            may: decides, from the request and the job, or ``None`` if there is no such job.

        Raises:
            PermissionDenied: the user may not.
            Http404: there is no such job.
        """
        job = self.get_object(request, str(key))
        if not may(request, job):
            raise PermissionDenied
        if job is None:
            raise Http404
        return job

    def render_page(
        self, request: HttpRequest, template: str, title: str, **context: Any
    ) -> TemplateResponse:
        """Return a page of this admin.

        Args:
            request: of the user.
            template: its name in the folder of the jobs' templates.
            title: the page's.
            context: what else the template needs.
        """
        request.current_app = self.admin_site.name
        return TemplateResponse(
            request,
            f"admin/django_docraptor/renderjob/{template}",
            {
                **self.admin_site.each_context(request),
                "title": title,
                "opts": self.opts,
                "media": self.media,
                **context,
            },
        )

    def operation_view(
        self, request: HttpRequest, key: uuid.UUID, operation: Operation
    ) -> HttpResponse:
        """Show the confirmation page for one job (GET), or run the operation (POST).

        Raises:
            PermissionDenied: the user may not run the operation.
            Http404: there is no such job.
        """
        may = partial(self._has_operation_permission, operation)
        job = self.permitted_job(request, key, may)
        return self._confirm_or_run(
            request, operation, [job], return_url=self.page_url("change", key)
        )

    def _confirm_or_run(
        self, request: HttpRequest, operation: Operation, jobs: list[RenderJob], *, return_url: str
    ) -> HttpResponse:
        plan = Plan.for_jobs(operation, jobs)
        fingerprint = request.POST.get("fingerprint", "")
        if not plan.jobs:
            self.message_user(request, operation.empty_message, messages.WARNING)
        elif request.method == "POST" and fingerprint == plan.fingerprint:
            self._run(request, plan)
        else:
            return self._render_confirmation(request, plan, return_url, bool(fingerprint))
        return HttpResponseRedirect(return_url)

    def _run(self, request: HttpRequest, plan: Plan) -> None:
        """Run the operation, record who did, and report the result to the user."""
        try:
            groups = plan.run(cast(AbstractBaseUser, request.user))
        except DocRaptorError as error:
            message = _("The request to DocRaptor failed: %(reason)s") % {"reason": error}
            self.message_user(request, message, messages.ERROR)
        else:
            log_operation(request, plan.operation, groups)
            count = sum(len(group.jobs) for group in groups)
            message = plan.operation.success_message % {"count": count}
            self.message_user(request, message, messages.SUCCESS)

    def _render_confirmation(
        self, request: HttpRequest, plan: Plan, return_url: str, has_changed: bool
    ) -> HttpResponse:
        is_single_retry = plan.operation is RETRY and len(plan.jobs) == 1
        context = {
            "plan": plan,
            "question": retry_question(request, plan.jobs[0]) if is_single_retry else None,
            "again_url": self._again_url(request, plan.jobs[0]) if is_single_retry else "",
            "return_url": return_url,
            "original": plan.jobs[0]
            if len(plan.jobs) == 1 and not request.POST.get("action")
            else None,
            "has_changed": has_changed,
            "action": request.POST.get("action", ""),
            "action_checkbox_name": ACTION_CHECKBOX_NAME,
        }
        return self.render_page(request, "confirm_operation.html", plan.title, **context)
