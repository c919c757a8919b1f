"""Internal. What deleted and erased jobs have left: files, hosted documents, traces.

No storage access and no HTTP here.
"""

from typing import Any, Final

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_docraptor.models.clock import InsertionTimeField, Now, seconds_from_now
from django_docraptor.models.managers import PrimaryDatabaseManager

# Seconds until what could not be removed is tried again, doubled each time.
RETRY_SECONDS: Final = 300.0
MAX_RETRY_SECONDS: Final = 86_400.0
# Before the label of a field, such as ``shop.Invoice.pdf``, whose storage has a file.
COPY_PREFIX: Final = "field:"
# What may be removed at once if a person asks; a tick waits with what failed until it is due.
REMOVABLE_NOW: Final = models.Q(due_at__lte=Now()) | models.Q(failures__gt=0)


class Discarded(models.Model):
    """What a deleted or erased job has left, until it is removed. Internal."""

    discarded_at = InsertionTimeField()
    due_at = InsertionTimeField()
    failures = models.PositiveSmallIntegerField(default=0)
    # Keyed hash of the owner or source that was erased; blank if the job was deleted.
    subject = models.CharField(max_length=32, blank=True)

    class Meta:
        abstract = True
        base_manager_name = "objects"


def time_of_next_try(failures: int) -> Any:
    """Return when to try again, as a database expression.

    Args:
        failures: earlier ones, without the present one.
    """
    return seconds_from_now(min(MAX_RETRY_SECONDS, RETRY_SECONDS * 2.0 ** min(failures, 16)))


class DiscardedFile(Discarded):
    """A stored file whose job was deleted or erased; ``discarded_files`` deletes it. Internal."""

    name = models.CharField(max_length=500)
    # Alias in STORAGES; of a copy in a source's field, `COPY_PREFIX` and the field's label.
    storage = models.CharField(max_length=200, blank=True)
    # Whether the name was only reserved: there may be no file, and deleting a missing one can have
    # effects, such as a marker in a bucket with versions.
    may_be_missing = models.BooleanField(default=False)

    objects = PrimaryDatabaseManager["DiscardedFile"]()

    class Meta(Discarded.Meta):
        verbose_name = _("discarded file")
        verbose_name_plural = _("discarded files")
        indexes = [models.Index(fields=["due_at"], name="docraptor_file_due")]
        constraints = [
            models.UniqueConstraint(fields=["name", "storage"], name="docraptor_file_name")
        ]

    def __str__(self) -> str:
        return self.name


class DiscardedDocument(Discarded):
    """A hosted document whose job was deleted or erased; a tick expires it. Internal."""

    account = models.CharField(max_length=64)
    # Blank while DocRaptor makes it: then its status tells.
    download_id = models.CharField(max_length=200, blank=True)
    status_id = models.CharField(max_length=200, blank=True)
    # When it expires by itself.
    expires_at = models.DateTimeField(null=True)

    objects = PrimaryDatabaseManager["DiscardedDocument"]()

    class Meta(Discarded.Meta):
        verbose_name = _("discarded hosted document")
        verbose_name_plural = _("discarded hosted documents")
        indexes = [models.Index(fields=["due_at"], name="docraptor_document_due")]

    def __str__(self) -> str:
        return f"{self.pk} of {self.account}"


class ErasedJob(Discarded):
    """An erased job, until a tick has looked for what was written meanwhile. Internal."""

    job_id = models.UUIDField(unique=True)

    objects = PrimaryDatabaseManager["ErasedJob"]()

    class Meta(Discarded.Meta):
        verbose_name = _("erased job")
        verbose_name_plural = _("erased jobs")
        indexes = [models.Index(fields=["due_at"], name="docraptor_erased_due")]

    def __str__(self) -> str:
        return str(self.job_id)
