"""Internal. The stored input of a job. Knows nothing about rendering or sending.

A project may read a job's ``input``; everything else is internal.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_docraptor.models.jobs import RenderJob
from django_docraptor.models.managers import PrimaryDatabaseManager


class RenderInput(models.Model):
    """The input of a job, in its own table so that job rows stay small.

    Read it through ``job.input``.
    """

    job = models.OneToOneField(
        RenderJob, on_delete=models.CASCADE, primary_key=True, related_name="input"
    )
    content = models.TextField(blank=True)
    url = models.TextField(blank=True)
    options = models.JSONField(default=dict)
    params = models.JSONField(default=dict)
    language = models.CharField(max_length=35, blank=True)
    # A name, or an offset such as "+02:00".
    time_zone = models.CharField(max_length=64, blank=True)
    # Label of the source's class if it is a proxy.
    source_model = models.CharField(max_length=255, blank=True)
    # Age up to which an earlier document of the same request is used instead of a new one.
    reuse = models.DurationField(null=True, blank=True)
    # What the preflight returned for the content when the job was enqueued.
    preflight_digest = models.CharField(max_length=32, blank=True)
    # Asked for by a signal: document_completed is not sent if nothing has changed.
    by_trigger = models.BooleanField(default=False)
    # What a `Recheck` says: set until what a signal enqueued was decided again.
    recheck = models.JSONField(null=True, blank=True)
    revision = models.PositiveIntegerField(default=0)

    objects = PrimaryDatabaseManager["RenderInput"]()

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("stored input")
        verbose_name_plural = _("stored inputs")

    def __str__(self) -> str:
        return f"Input of {self.job_id}"
