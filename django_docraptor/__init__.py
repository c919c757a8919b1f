"""DocRaptor documents for Django: HTML in, PDF or Excel out, never stuck, never billed twice.

Everything that a project may import is here, beside ``django_docraptor.mail``,
``django_docraptor.sandbox`` and ``django_docraptor.testing``; other modules are internal. Importing
the package reads no settings and loads nothing: each name is imported from its module when it is
first used.
"""

from typing import TYPE_CHECKING

from django_docraptor.lazy_names import import_on_use

__version__ = "0.1.0"

__all__ = [
    "AccountBusyError",
    "AccountPausedError",
    "AssetError",
    "BudgetExceededError",
    "CallError",
    "Client",
    "ConfigurationError",
    "DocRaptorError",
    "Document",
    "DocumentAdminMixin",
    "DocumentMixin",
    "DocumentOptions",
    "DocumentResponse",
    "DocumentTooLargeError",
    "DocumentView",
    "EnqueueOptions",
    "ErasureReport",
    "ErrorCode",
    "EventKind",
    "ForbiddenError",
    "GroupProgress",
    "GroupState",
    "HealthReport",
    "HoldReason",
    "HostedDocument",
    "InvalidDownloadError",
    "JobSpec",
    "NotADocumentError",
    "NotFoundError",
    "NotSentError",
    "PrinceOptions",
    "Problem",
    "QuerysetDocument",
    "RateLimitError",
    "RejectedError",
    "RenderGroup",
    "RenderJob",
    "ReportOptions",
    "ResponseError",
    "Rows",
    "Runner",
    "SavedDocument",
    "Sent",
    "ServerError",
    "ShareLink",
    "SourceGoneError",
    "State",
    "Step",
    "Trigger",
    "TriggerOptions",
    "UnauthorizedError",
    "UnknownOutcomeError",
    "aagain",
    "acancel",
    "aenqueue",
    "aenqueue_many",
    "aexpire",
    "again",
    "arelease",
    "arender_now",
    "aretry",
    "arevoke",
    "ashare",
    "attach_latest_documents",
    "await_for_job",
    "billed_since",
    "budget_reached",
    "cancel",
    "cancel_group",
    "delivery_due",
    "document_completed",
    "document_failed",
    "document_page",
    "document_response",
    "document_submitted",
    "document_warned",
    "enqueue",
    "enqueue_group",
    "enqueue_many",
    "enqueue_or_update",
    "erase",
    "expire",
    "expire_hosted",
    "find_problems",
    "group_completed",
    "group_file_response",
    "group_status_response",
    "health_problems",
    "health_report",
    "hook_due",
    "job_file_response",
    "latest_document",
    "log_due",
    "mail_due",
    "pause_account",
    "release",
    "render_hosted_now",
    "render_now",
    "resume_account",
    "retry",
    "retry_group",
    "revoke",
    "run_step",
    "share",
    "status_response",
    "wait_for_job",
]

# Names by the module that defines them.
_EXPORTS = {
    "admin": ["DocumentAdminMixin"],
    "assets": ["AssetError"],
    "asynchronous": [
        "aagain",
        "acancel",
        "aenqueue",
        "aenqueue_many",
        "aexpire",
        "arelease",
        "arender_now",
        "aretry",
        "arevoke",
        "ashare",
    ],
    "client": ["Client", "SavedDocument"],
    "documents": [
        "Document",
        "QuerysetDocument",
        "Rows",
        "SourceGoneError",
        "Trigger",
        "again",
        "attach_latest_documents",
        "latest_document",
    ],
    "documents.reports": ["ReportOptions"],
    "documents.triggers": ["TriggerOptions"],
    "erasure": ["erase"],
    "erasure_reports": ["ErasureReport"],
    "exceptions": [
        "AccountBusyError",
        "AccountPausedError",
        "BudgetExceededError",
        "CallError",
        "ConfigurationError",
        "DocRaptorError",
        "DocumentTooLargeError",
        "ForbiddenError",
        "InvalidDownloadError",
        "NotADocumentError",
        "NotFoundError",
        "NotSentError",
        "RateLimitError",
        "RejectedError",
        "ResponseError",
        "Sent",
        "ServerError",
        "UnauthorizedError",
        "UnknownOutcomeError",
    ],
    "groups": ["cancel_group", "enqueue_group", "retry_group"],
    "health": ["health_problems", "health_report"],
    "health_reports": ["HealthReport"],
    "hosted": ["HostedDocument", "expire_hosted", "render_hosted_now"],
    "job_specs": ["JobSpec"],
    "keywords": ["DocumentOptions", "EnqueueOptions"],
    "models": ["GroupState", "RenderGroup", "RenderJob", "ShareLink"],
    "models.group_progress": ["GroupProgress"],
    "payloads": ["PrinceOptions"],
    "preflight": ["Problem", "find_problems"],
    "responses": [
        "DocumentResponse",
        "document_response",
        "group_file_response",
        "group_status_response",
        "job_file_response",
        "status_response",
    ],
    "runners": ["Runner", "Step"],
    "sharing": ["revoke", "share"],
    "shortcuts": [
        "cancel",
        "enqueue",
        "enqueue_many",
        "enqueue_or_update",
        "expire",
        "pause_account",
        "release",
        "render_now",
        "resume_account",
        "retry",
    ],
    "signals": [
        "budget_reached",
        "delivery_due",
        "document_completed",
        "document_failed",
        "document_submitted",
        "document_warned",
        "group_completed",
        "hook_due",
        "log_due",
        "mail_due",
    ],
    "states": ["ErrorCode", "EventKind", "HoldReason", "State"],
    "usage": ["billed_since"],
    "views": ["DocumentMixin", "DocumentView", "document_page"],
    "waiting": ["await_for_job", "wait_for_job"],
    "wakeups": ["run_step"],
}

if TYPE_CHECKING:
    from django_docraptor.admin import DocumentAdminMixin
    from django_docraptor.assets import AssetError
    from django_docraptor.asynchronous import (
        aagain,
        acancel,
        aenqueue,
        aenqueue_many,
        aexpire,
        arelease,
        arender_now,
        aretry,
        arevoke,
        ashare,
    )
    from django_docraptor.client import Client, SavedDocument
    from django_docraptor.documents import (
        Document,
        QuerysetDocument,
        Rows,
        SourceGoneError,
        Trigger,
        again,
        attach_latest_documents,
        latest_document,
    )
    from django_docraptor.documents.reports import ReportOptions
    from django_docraptor.documents.triggers import TriggerOptions
    from django_docraptor.erasure import erase
    from django_docraptor.erasure_reports import ErasureReport
    from django_docraptor.exceptions import (
        AccountBusyError,
        AccountPausedError,
        BudgetExceededError,
        CallError,
        ConfigurationError,
        DocRaptorError,
        DocumentTooLargeError,
        ForbiddenError,
        InvalidDownloadError,
        NotADocumentError,
        NotFoundError,
        NotSentError,
        RateLimitError,
        RejectedError,
        ResponseError,
        Sent,
        ServerError,
        UnauthorizedError,
        UnknownOutcomeError,
    )
    from django_docraptor.groups import cancel_group, enqueue_group, retry_group
    from django_docraptor.health import (
        health_problems,
        health_report,
    )
    from django_docraptor.health_reports import HealthReport
    from django_docraptor.hosted import (
        HostedDocument,
        expire_hosted,
        render_hosted_now,
    )
    from django_docraptor.job_specs import JobSpec
    from django_docraptor.keywords import DocumentOptions, EnqueueOptions
    from django_docraptor.models import (
        GroupState,
        RenderGroup,
        RenderJob,
        ShareLink,
    )
    from django_docraptor.models.group_progress import GroupProgress
    from django_docraptor.payloads import PrinceOptions
    from django_docraptor.preflight import Problem, find_problems
    from django_docraptor.responses import (
        DocumentResponse,
        document_response,
        group_file_response,
        group_status_response,
        job_file_response,
        status_response,
    )
    from django_docraptor.runners import Runner, Step
    from django_docraptor.sharing import revoke, share
    from django_docraptor.shortcuts import (
        cancel,
        enqueue,
        enqueue_many,
        enqueue_or_update,
        expire,
        pause_account,
        release,
        render_now,
        resume_account,
        retry,
    )
    from django_docraptor.signals import (
        budget_reached,
        delivery_due,
        document_completed,
        document_failed,
        document_submitted,
        document_warned,
        group_completed,
        hook_due,
        log_due,
        mail_due,
    )
    from django_docraptor.states import ErrorCode, EventKind, HoldReason, State
    from django_docraptor.usage import billed_since
    from django_docraptor.views import DocumentMixin, DocumentView, document_page
    from django_docraptor.waiting import await_for_job, wait_for_job
    from django_docraptor.wakeups import run_step

else:  # hidden from type checkers, which would take any name for an Any
    __getattr__ = import_on_use(__name__, _EXPORTS)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
