"""Internal. The admin for accounts: read-only."""

from typing import TYPE_CHECKING

from django.contrib import admin
from django.db import models
from django.http import HttpRequest

from django_docraptor.models import Account

if TYPE_CHECKING:
    AccountModelAdmin = admin.ModelAdmin[Account]
else:
    AccountModelAdmin = admin.ModelAdmin


@admin.register(Account)
class AccountAdmin(AccountModelAdmin):
    """Shows which accounts are paused, until when and why. Only the engine changes them."""

    list_display = ["name", "paused_until", "circuit_open_until", "pause_reason"]
    fields = ["name", "paused_until", "circuit_open_until", "failures", "pause_reason"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: an account is created by its first job."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Return False: a pause ends by itself or with the next successful call."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Return False: MAX_IN_FLIGHT is enforced by locking this row."""
        return False
