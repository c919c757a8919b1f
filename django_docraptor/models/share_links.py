"""Internal. Share links: anyone who has the URL may download one private file, for a while.

A project creates and revokes them through ``share`` and ``revoke``, and may read a job's
``share_links``.
"""

import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models, router
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from django_docraptor.models.clock import InsertionTimeField, Now
from django_docraptor.models.conflicts import repeat_conflicts
from django_docraptor.models.jobs import RenderJob
from django_docraptor.models.managers import PrimaryDatabaseManager
from django_docraptor.models.relations import RowInAnyDatabase
from django_docraptor.states import State

if TYPE_CHECKING:
    Time = models.DateTimeField[Any, datetime]
    OptionalTime = models.DateTimeField[Any, datetime | None]
    Number = models.PositiveIntegerField[Any, int]
    OptionalNumber = models.PositiveIntegerField[Any, int | None]


class LinkState(models.TextChoices):
    """Whether a share link works, and if not, why."""

    ACTIVE = "active", pgettext_lazy("link", "active")
    EXPIRED = "expired", pgettext_lazy("link", "expired")
    USED_UP = "used_up", pgettext_lazy("link", "used up")
    REVOKED = "revoked", pgettext_lazy("link", "revoked")


class ShareLink(models.Model):
    """A URL that gives one private file to anyone who has it, until it expires or is revoked."""

    id: "models.UUIDField[Any, uuid.UUID]" = models.UUIDField(
        primary_key=True, default=uuid.uuid4, editable=False
    )
    job = models.ForeignKey(RenderJob, on_delete=models.CASCADE, related_name="share_links")
    created_by = RowInAnyDatabase(
        settings.AUTH_USER_MODEL, related_name="+", verbose_name=_("created by")
    )
    created_at: "Time" = InsertionTimeField(_("created at"))
    expires_at: "Time" = models.DateTimeField(_("expires at"))
    revoked_at: "OptionalTime" = models.DateTimeField(_("revoked at"), null=True, blank=True)
    # Downloads after which it stops working; None: as many as people like.
    max_downloads: "OptionalNumber" = models.PositiveIntegerField(
        _("maximum number of downloads"), null=True, blank=True
    )
    downloads: "Number" = models.PositiveIntegerField(_("downloads"), default=0)
    last_used_at: "OptionalTime" = models.DateTimeField(_("last used at"), null=True, blank=True)

    objects = PrimaryDatabaseManager["ShareLink"]()

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("share link")
        verbose_name_plural = _("share links")

    def __str__(self) -> str:
        return f"{self.short_id} ({self.state.label})"

    def get_absolute_url(self) -> str:
        """Return the path of the link's page. It is a secret: it gives access to the document."""
        from django_docraptor.share_urls import share_path

        return share_path(self.pk)

    @property
    def url(self) -> str:
        """The absolute URL to send, or "" without ``CALLBACK_BASE_URL``. It is a secret."""
        from django_docraptor.share_urls import share_url

        return share_url(self.pk)

    @property
    def short_id(self) -> str:
        """The beginning of the ID, by which people tell links apart."""
        return self.pk.hex[:8]

    @property
    def state(self) -> LinkState:
        """Whether the link works, as far as this object knows."""
        if self.revoked_at is not None:
            return LinkState.REVOKED
        if self.expires_at <= timezone.now():
            return LinkState.EXPIRED
        is_used_up = self.max_downloads is not None and self.downloads >= self.max_downloads
        return LinkState.USED_UP if is_used_up else LinkState.ACTIVE

    @classmethod
    def find_active(cls, link_id: uuid.UUID) -> "ShareLink | None":
        """Return a link that works, with its job; ``None`` without a file to give. Internal."""
        links = cls.objects.filter(_is_active(), pk=link_id, job__state=State.COMPLETED)
        return links.exclude(job__file="").select_related("job").first()

    def count_download(self) -> bool:
        """Count a download, if the link still works. Internal.

        One conditional UPDATE, so that no more downloads begin than ``max_downloads``.
        """
        rows = ShareLink.objects.filter(_is_active(), pk=self.pk)
        used = {"downloads": F("downloads") + 1, "last_used_at": Now()}
        using = router.db_for_write(ShareLink)
        return bool(repeat_conflicts(lambda: rows.update(**used), using=using))

    def mark_revoked(self) -> bool:
        """Revoke the link, unless it is revoked already. Internal."""
        rows = ShareLink.objects.filter(pk=self.pk, revoked_at=None)
        return bool(rows.update(revoked_at=Now()))


def _is_active() -> Q:
    """Return what is true of a link that works, by the database's clock."""
    has_downloads_left = Q(max_downloads=None) | Q(downloads__lt=F("max_downloads"))
    return has_downloads_left & Q(revoked_at=None, expires_at__gt=Now())
