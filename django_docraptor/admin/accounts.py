"""Accounts: whether they are paused."""

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
    """Which accounts are paused, until when and why. The engine writes it, nobody else."""

    list_display = ["name", "paused_until", "circuit_open_until", "pause_reason"]
    fields = ["name", "paused_until", "circuit_open_until", "faults", "pause_reason"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never: an account is made by its first job."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Never: a pause ends by itself, or with the next call that succeeds."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Never: the row is the lock that keeps MAX_IN_FLIGHT."""
        return False


def waiting_accounts() -> models.QuerySet[Account]:
    """Accounts whose jobs wait now: no calls at all, or no new documents."""
    return Account.stopped()
