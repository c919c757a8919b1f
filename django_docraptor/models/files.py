"""Internal. Files of deleted jobs. No storage access here."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_docraptor.models.managers import PrimaryDatabaseManager


class DiscardedFile(models.Model):
    """A stored file whose job was deleted; ``retention`` deletes it. Internal."""

    name = models.CharField(max_length=255, primary_key=True)
    storage = models.CharField(max_length=64, blank=True)

    objects = PrimaryDatabaseManager["DiscardedFile"]()

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("discarded file")
        verbose_name_plural = _("discarded files")

    def __str__(self) -> str:
        return self.name
