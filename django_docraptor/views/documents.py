"""Internal. View classes for projects: views that return a document."""

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.mixins import LoginRequiredMixin
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.db import transaction
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.generic import View
from django.views.generic.detail import SingleObjectMixin

from django_docraptor.documents import Document
from django_docraptor.job_specs import JobSpec
from django_docraptor.responses import (
    DEFAULT_WAIT_SECONDS,
    document_response,
    errors_as_json,
    wants_json,
)
from django_docraptor.responses.permissions import has_permission
from django_docraptor.responses.preview_policy import PREVIEW_POLICY

if TYPE_CHECKING:
    AnyView = View
else:
    AnyView = object


# The mixin itself requires a login, and answers those who want JSON with JSON.
@method_decorator(
    [login_not_required, never_cache, transaction.non_atomic_requests, errors_as_json],
    name="dispatch",
)
class DocumentMixin(LoginRequiredMixin, AnyView):
    """Make a single-object view, such as a ``DetailView``, return a document.

    A quick document is returned directly, a slow one through the status page. ``?as=html`` shows
    the HTML to staff with ``preview_permission`` and sends nothing.
    """

    # No HEAD: it would create a document without returning it.
    http_method_names = ["get", "options"]

    #: The document class.
    document: ClassVar[type[Document[Any]]]
    #: Whether the browser saves the file instead of showing it.
    as_attachment = False
    #: Seconds to wait for the document.
    wait = DEFAULT_WAIT_SECONDS
    #: Permission that staff need to preview the HTML.
    preview_permission = "django_docraptor.view_renderjob"

    def handle_no_permission(self) -> HttpResponseRedirect:
        """Send anonymous users to the login page; refuse those who want JSON.

        Raises:
            PermissionDenied: the client wants JSON, or the view raises instead of redirecting.
        """
        if wants_json(self.request):
            raise PermissionDenied
        return super().handle_no_permission()

    def get_source(self) -> Model | None:
        """Return the source: the view's ``get_object()``.

        Raises:
            ImproperlyConfigured: the view does not restrict which objects a user may access.
        """
        if not _restricts_objects(self):
            raise ImproperlyConfigured(
                f"{type(self).__name__} must define get_queryset() or get_object(), limited to "
                "objects the user may access; for example: return self.request.user.invoices.all()"
            )
        view: Any = self
        source: Model = view.get_object()
        return source

    def get_params(self) -> dict[str, Any]:
        """Return the document's parameters."""
        return {}

    # Any: a DetailView's own returns an HttpResponse, which a streamed file is not.
    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Return the document, or its preview: an HttpResponseBase."""
        source, params = self.get_source(), self.get_params()
        if request.GET.get("as") == "html":
            return self.preview(source, params)
        return document_response(
            request,
            self.get_job_spec(source, params),
            wait=self.wait,
            as_attachment=self.as_attachment,
        )

    def get_job_spec(self, source: Model | None, params: dict[str, Any]) -> JobSpec:
        """Return the spec of the job.

        The content is rendered now, so that identical content is generated only once.
        """
        return self.document.spec(source, params=params, snapshot=True)

    def preview(self, source: Model | None, params: dict[str, Any]) -> HttpResponse:
        """Return the HTML under a sandboxing Content-Security-Policy.

        Raises:
            PermissionDenied: the user may not preview the HTML.
        """
        if not self.may_preview():
            raise PermissionDenied
        if url := self.document(source, params).get_url():
            return HttpResponseRedirect(url)
        response = HttpResponse(self.document.preview_html(source, params=params))
        response["Content-Security-Policy"] = PREVIEW_POLICY
        response["X-Content-Type-Options"] = "nosniff"
        return response

    def may_preview(self) -> bool:
        """Return whether the user may see the HTML: staff with ``preview_permission``."""
        is_staff: bool = getattr(self.request.user, "is_staff", False)
        return is_staff and has_permission(self.request, self.preview_permission)


def _restricts_objects(view: View) -> bool:
    """Return whether a single-object view restricts its objects instead of using all of them."""
    view_class = type(view)
    has_own_method = (
        getattr(view_class, method.__name__, method) is not method
        for method in (SingleObjectMixin.get_queryset, SingleObjectMixin.get_object)
    )
    return getattr(view, "queryset", None) is not None or any(has_own_method)


class DocumentView(DocumentMixin, View):
    """A view that returns a document for the object from ``get_source()``."""

    def get_source(self) -> Model | None:
        """Return the source.

        Override this and raise Http404 for objects the user may not access.

        Raises:
            ImproperlyConfigured: the document has a model, and the view does not override this.
        """
        if self.document.model is None:
            return None
        raise ImproperlyConfigured(
            f"{type(self).__name__} must define get_source(), limited to objects the user may "
            "access; for example: return get_object_or_404(Invoice, pk=self.kwargs['pk'], "
            "customer=self.request.user)"
        )
