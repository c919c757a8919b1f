"""Internal. Files and hosted documents of deleted jobs. No storage access and no HTTP here."""

from typing import Any, Final

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_docraptor.models.clock import InsertionTimeField, seconds_from_now
from django_docraptor.models.managers import PrimaryDatabaseManager

# Seconds until what could not be removed is tried again, doubled each time.
RETRY_SECONDS: Final = 300.0
MAX_RETRY_SECONDS: Final = 86_400.0


class Discarded(models.Model):
    """What a deleted job has left, until it is removed. Internal."""

    discarded_at = InsertionTimeField()
    due_at = InsertionTimeField()
    failures = models.PositiveSmallIntegerField(default=0)

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
    """A stored file whose job was deleted; ``discarded_files`` deletes it. Internal."""

    name = models.CharField(max_length=255)
    storage = models.CharField(max_length=64, blank=True)
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
    """A hosted document whose job was deleted; a tick expires it. Internal."""

    account = models.CharField(max_length=64)
    download_id = models.CharField(max_length=200)
    # When it expires by itself.
    expires_at = models.DateTimeField(null=True)

    objects = PrimaryDatabaseManager["DiscardedDocument"]()

    class Meta(Discarded.Meta):
        verbose_name = _("discarded hosted document")
        verbose_name_plural = _("discarded hosted documents")
        indexes = [models.Index(fields=["due_at"], name="docraptor_document_due")]

    def __str__(self) -> str:
        return f"{self.pk} of {self.account}"
