"""The edges that the outside world sees: the callback, the download, the waiting page.

`DocumentView` and `DocumentMixin` are for projects: views that answer with a document.
"""

import logging
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.db import Error, transaction
from django.db.models import Model
from django.db.models.functions import Now
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
)
from django.shortcuts import get_object_or_404, render
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_safe
from django.views.generic import View
from django.views.generic.detail import SingleObjectMixin

from django_docraptor import tasks
from django_docraptor.callbacks import read_token
from django_docraptor.conf import conf
from django_docraptor.documents import Document
from django_docraptor.lifecycle import note_callback
from django_docraptor.models import RenderJob
from django_docraptor.responses import WAIT, document_response, may_download, on_this_site, serve
from django_docraptor.shortcuts import Order, retry
from django_docraptor.states import State

if TYPE_CHECKING:
    AnyView = View
else:
    AnyView = object

logger = logging.getLogger("django_docraptor")

# The waiting page looks again after a fifth of the job's age, within these bounds, in seconds.
SOONEST, LATEST, FRACTION = 1, 30, 0.2
# A preview shows other people's text: it may load pictures and styles, but run nothing, send
# nothing and be nobody in the site's name.
PREVIEW_POLICY = (
    "sandbox; default-src 'none'; img-src https: http: data:; font-src https: http: data:; "
    "style-src https: http: 'unsafe-inline'; form-action 'none'; base-uri https: http:"
)


@csrf_exempt
@login_not_required
@never_cache
@transaction.non_atomic_requests
def callback(request: HttpRequest, token: str) -> HttpResponse:
    """DocRaptor says that a document is ready: look soon.

    The body is never read: what it says is learned from the authenticated status call. 404 for
    whatever is not ours, without saying why; 204 for all that is, also twice; 503 while the
    database is down, in case DocRaptor tries again; 405 for other methods than POST.
    """
    if request.method != "POST":
        return _unlogged(405, Allow="POST")
    known = read_token(token)
    if known is None:
        return _unlogged(404)
    try:
        is_news = note_callback(*known)
    except Error:
        logger.exception("The database is down: a callback could not be noted")
        return _unlogged(503)
    if is_news and conf.ring_on_commit:
        tasks.ring(tasks.poll)
    return HttpResponse(status=204)


def _unlogged(status: int, **headers: str) -> HttpResponse:
    """An error that Django does not log by its URL, since the URL holds the token."""
    response = HttpResponse(status=status, headers=headers)
    response._has_been_logged = True  # type: ignore[attr-defined] # read by django.utils.log
    return response


@require_safe
@never_cache
def download(request: HttpRequest, key: uuid.UUID) -> HttpResponseBase:
    """The finished file, for its owner and for those who may view jobs; 404 for all others."""
    job = get_object_or_404(RenderJob, pk=key, state=State.COMPLETED)
    if not may_download(request, job):
        raise Http404
    return serve(job)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def waiting(request: HttpRequest, key: uuid.UUID) -> HttpResponseBase:
    """How a document stands, for those who may download it; a POST tries a failed one again.

    Works without JavaScript: the page loads itself again, less and less often. With ``?inline`` it
    becomes the document; otherwise it starts the download and says so. Who is not logged in is
    asked to, whether there is such a document or not: people come here from e-mails.
    """
    if not request.user.is_authenticated:
        return redirect_to_login(request.get_full_path())
    job = get_object_or_404(RenderJob.objects.annotate(database_now=Now()), pk=key)
    if not may_download(request, job):
        raise Http404
    if request.method == "POST":
        if may_retry(request, job):
            retry(job, by=request.user)
        return HttpResponseRedirect(request.get_full_path())
    if job.state == State.COMPLETED and request.GET.get("inline"):
        return serve(job, as_attachment=False)
    return render(request, "django_docraptor/waiting.html", _waiting_context(request, job))


def may_retry(request: HttpRequest, job: RenderJob) -> bool:
    """Whether to offer another try: to the owner only where it cannot be a second bill."""
    if job.state != State.FAILED:
        return False
    free = job.test or job.resumes_at is not None or not job.may_have_been_billed
    is_owner = job.owner_id == request.user.pk
    return (free and is_owner) or _is_permitted(request, "django_docraptor.retry_renderjob")


def _is_permitted(request: HttpRequest, permission: str) -> bool:
    # A user model without permissions is a legitimate one.
    has_perm: Callable[[str], bool] = getattr(request.user, "has_perm", lambda permission: False)
    return has_perm(permission)


def _waiting_context(request: HttpRequest, job: RenderJob) -> dict[str, Any]:
    sees_errors = _is_permitted(request, "django_docraptor.view_renderjob")
    return {
        "job": job,
        "has_ended": job.hosted and job.state == State.COMPLETED and not job.is_public,
        "refresh": 0 if job.is_final else refresh_interval(job),
        "may_retry": may_retry(request, job),
        "details": job.errors if sees_errors else "",
        "back": on_this_site(request, request.GET.get("back", "")) or "/",
    }


def refresh_interval(job: RenderJob) -> int:
    """Seconds until the waiting page looks again, for a job read with the database's clock."""
    began = job.sent_at or job.created_at
    age = ((job.claimed_at or began) - began).total_seconds()
    return round(min(LATEST, max(SOONEST, age * FRACTION)))


@method_decorator([never_cache, transaction.non_atomic_requests], name="dispatch")
class DocumentMixin(LoginRequiredMixin, AnyView):
    """Makes a view of one object, such as a ``DetailView``, answer with its document.

    At once if it is quick, else by way of the waiting page. ``?as=html`` shows the HTML instead, to
    those with ``preview_permission``: nothing is sent.
    """

    # No HEAD: it would make a document that nobody gets.
    http_method_names = ["get", "options"]

    #: The recipe.
    document: ClassVar[type[Document[Any]]]
    #: Saved by the browser instead of shown.
    as_attachment = False
    #: Seconds for which to hold the request.
    wait = WAIT
    #: What a member of the staff needs to see the HTML.
    preview_permission = "django_docraptor.view_renderjob"

    def get_source(self) -> Model | None:
        """The object to make the document from: the view's ``get_object()``.

        Raises:
            ImproperlyConfigured: the view does not say who may have which object.
        """
        if not _says_whose(self):
            raise ImproperlyConfigured(
                f"{type(self).__name__} must define get_queryset() or get_object() and let nobody "
                "have what is not theirs: return self.request.user.invoices.all()"
            )
        view: Any = self
        source: Model = view.get_object()
        return source

    def get_params(self) -> dict[str, Any]:
        """Parameters of the document."""
        return {}

    # Any: a DetailView's own returns an HttpResponse, which a streamed file is not.
    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """The document, or its preview: an HttpResponseBase."""
        source, params = self.get_source(), self.get_params()
        if request.GET.get("as") == "html":
            return self.preview(source, params)
        return document_response(
            request,
            self.get_order(source, params),
            wait=self.wait,
            as_attachment=self.as_attachment,
        )

    def get_order(self, source: Model | None, params: dict[str, Any]) -> Order:
        """What is ordered: the content as it is now, so that the same content is made once."""
        return self.document.order(source, params=params, snapshot=True)

    def preview(self, source: Model | None, params: dict[str, Any]) -> HttpResponse:
        """The HTML, in a sandbox. Raises PermissionDenied."""
        if not self.may_preview():
            raise PermissionDenied
        response = HttpResponse(self.document.preview_html(source, params=params))
        response["Content-Security-Policy"] = PREVIEW_POLICY
        response["X-Content-Type-Options"] = "nosniff"
        return response

    def may_preview(self) -> bool:
        """Whether the user may see the HTML: staff with ``preview_permission``."""
        is_staff: bool = getattr(self.request.user, "is_staff", False)
        return is_staff and _is_permitted(self.request, self.preview_permission)


def _says_whose(view: View) -> bool:
    """Whether a view of one object has a choice of its own, and not just all objects."""
    own = type(view)
    chooses = (
        getattr(own, theirs.__name__, theirs) is not theirs
        for theirs in (SingleObjectMixin.get_queryset, SingleObjectMixin.get_object)
    )
    return getattr(view, "queryset", None) is not None or any(chooses)


class DocumentView(DocumentMixin, View):
    """A view that answers with a document, of whatever ``get_source()`` finds."""

    def get_source(self) -> Model | None:
        """The object to make the document from. Say here who may have which one: raise Http404."""
        if self.document.model is None:
            return None
        raise ImproperlyConfigured(
            f"{type(self).__name__} must define get_source() and let nobody have what is not "
            "theirs: get_object_or_404(Invoice, pk=self.kwargs['pk'], customer=self.request.user)"
        )
