"""Internal. Pause accounts in the admin: the form with the reason and the end, and who did it."""

from datetime import timedelta
from typing import Any, Final, cast

from django import forms
from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext, ngettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from django_docraptor.admin.log_entries import log_change
from django_docraptor.durations import format_whole
from django_docraptor.models import Account
from django_docraptor.shortcuts import MAX_PAUSE_REASON, pause_account, resume_account

PAUSE_MINUTES: Final = (15, 60, 4 * 60, 24 * 60, 7 * 24 * 60)
# A pause without an end is chosen on purpose: it is easily forgotten.
DEFAULT_MINUTES: Final = 60
UNTIL_RESUMED: Final = ""


class PauseForm(forms.Form):
    """Why and for how long accounts are paused."""

    reason = forms.CharField(
        label=pgettext_lazy("pause", "Reason"),
        max_length=MAX_PAUSE_REASON,
        widget=forms.TextInput(attrs={"class": "vTextField"}),
        help_text=_("Who sees that jobs wait reads it, with your user name."),
    )
    minutes = forms.ChoiceField(label=_("For how long"), required=False)
    creates_only = forms.BooleanField(
        label=_("Only new documents wait. What DocRaptor has accepted is still downloaded."),
        required=False,
    )

    def __init__(self, data: Any = None) -> None:
        super().__init__(data, initial={"minutes": str(DEFAULT_MINUTES)})
        field = cast(forms.ChoiceField, self.fields["minutes"])
        durations = [(str(minutes), format_whole(minutes)) for minutes in PAUSE_MINUTES]
        field.choices = [*durations, (UNTIL_RESUMED, gettext("Until it is resumed"))]

    def pause(self, request: HttpRequest, accounts: list[Account]) -> None:
        """Pause accounts as the valid form says, and record who did."""
        values = self.cleaned_data
        minutes = values["minutes"]
        for account in accounts:
            pause_account(
                account.pk,
                duration=timedelta(minutes=int(minutes)) if minutes else None,
                reason=values["reason"],
                creates_only=values["creates_only"],
                by=request.user,
            )
        log_change(request, accounts, _("Paused: %(reason)s"), reason=values["reason"])


def confirm_or_pause(
    model_admin: "ModelAdmin[Account]", request: HttpRequest, queryset: QuerySet[Account]
) -> HttpResponse | None:
    """Show the form for the selected accounts, or pause them if it was sent and is valid."""
    accounts = list(queryset)
    form = PauseForm(request.POST if "confirmed" in request.POST else None)
    if form.is_valid():
        form.pause(request, accounts)
        text = ngettext(
            "%(count)d account was paused.", "%(count)d accounts were paused.", len(accounts)
        )
        model_admin.message_user(request, text % {"count": len(accounts)}, messages.SUCCESS)
        return None
    request.current_app = model_admin.admin_site.name
    context = {
        **model_admin.admin_site.each_context(request),
        "title": gettext("Pause accounts"),
        "opts": model_admin.opts,
        "media": model_admin.media,
        "accounts": accounts,
        "form": form,
        "action": request.POST.get("action", ""),
        "action_checkbox_name": ACTION_CHECKBOX_NAME,
        "return_url": request.get_full_path(),
    }
    return TemplateResponse(request, "admin/django_docraptor/account/pause.html", context)


def resume_accounts(request: HttpRequest, accounts: list[Account]) -> int:
    """Resume accounts, record who did, and return how many of their jobs are due now."""
    due = sum(resume_account(account.pk).due for account in accounts)
    log_change(request, accounts, _("The account was resumed."))
    return due
