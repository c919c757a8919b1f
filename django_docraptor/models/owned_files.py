"""Internal. What jobs and groups have in common: a file in a storage, and who may read it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models
from django.utils.translation import gettext_lazy as _

from django_docraptor.models.relations import RowInAnyDatabase
from django_docraptor.storage import DocumentFileField, get_document_storage

if TYPE_CHECKING:
    Text = models.CharField[Any, str]
    Counter = models.PositiveIntegerField[Any, int]
    OptionalBigNumber = models.PositiveBigIntegerField[Any, int | None]


class OwnedFile(models.Model):
    """A file that is made for a user."""

    owner = RowInAnyDatabase(settings.AUTH_USER_MODEL, related_name="+", verbose_name=_("owner"))
    # Alias in STORAGES of the file's storage; "" for the default document storage.
    storage: "Text" = models.CharField(_("storage"), max_length=64, blank=True)
    file = DocumentFileField(
        _("file"), storage=get_document_storage, upload_to="docraptor", max_length=255, blank=True
    )
    # Under which a worker stores the file, or may have stored it before it died.
    reserved_name = models.CharField(max_length=255, blank=True)
    file_size: "OptionalBigNumber" = models.PositiveBigIntegerField(
        _("size"), null=True, blank=True
    )
    sha256: "Text" = models.CharField("SHA-256", max_length=64, blank=True)
    # How often a view of this package sent it. The history of a job has only the first of them.
    downloads: "Counter" = models.PositiveIntegerField(_("downloads"), default=0)

    class Meta:
        abstract = True

    def may_be_read_by(self, user: AbstractBaseUser) -> bool:
        """Return whether a user may read the file: the owner, or a user who may view jobs.

        A document class can override this for its jobs.
        """
        if not user.is_authenticated or not user.is_active:
            return False
        # A custom user model need not have permissions.
        has_perm: Callable[[str], bool] = getattr(user, "has_perm", lambda permission: False)
        return self.owner_id == user.pk or has_perm("django_docraptor.view_renderjob")
