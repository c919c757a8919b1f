"""What customers see."""

from django.contrib.auth.mixins import LoginRequiredMixin
from django.db.models import QuerySet
from django.views.generic import ListView

from django_docraptor.models import RenderJob


class DocumentList(LoginRequiredMixin, ListView):
    """The documents of whoever is logged in, and nobody else's."""

    template_name = "shop/documents.html"
    context_object_name = "jobs"
    paginate_by = 25

    def get_queryset(self) -> QuerySet[RenderJob]:
        """Newest first."""
        return RenderJob.objects.filter(owner=self.request.user).order_by("-created_at", "-pk")

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        """Whether the page should look again."""
        context = super().get_context_data(**kwargs)
        context["unfinished"] = any(not job.is_final for job in context["jobs"])
        return context
