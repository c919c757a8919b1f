"""Internal. The admin for accounts: why their jobs wait; *Pause* and *Resume now*."""

from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import models
from django.db.models import Exists, OuterRef, QuerySet
from django.forms import Media
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext, pgettext_lazy

from django_docraptor.account_settings import settings_for_report
from django_docraptor.admin.changelist import CheckedChangeList
from django_docraptor.admin.display import EMPTY_VALUE, paused_badge
from django_docraptor.admin.pausing import confirm_or_pause, resume_accounts
from django_docraptor.health import restrictions
from django_docraptor.models import Account, Pause
from django_docraptor.models.admission import count_in_flight_by_key

if TYPE_CHECKING:
    AccountModelAdmin = admin.ModelAdmin[Account]
else:
    AccountModelAdmin = admin.ModelAdmin

PAUSE_PERMISSION = "django_docraptor.pause_account"
RESUME_PERMISSION = "django_docraptor.resume_account"


def _is_paused(account: Account) -> bool:
    return bool(getattr(account, "has_pause", False))


class AccountList(CheckedChangeList):
    """The list of accounts, with what is in flight of each."""

    def get_results(self, request: HttpRequest) -> None:
        """Read the rows of the page, and count for all of them."""
        super().get_results(request)
        rows = list(self.result_list)
        counts = count_in_flight_by_key([row.pk for row in rows])
        for row in rows:
            row.in_flight_by_key = counts
        self.result_list = rows


@admin.register(Account)
class AccountAdmin(AccountModelAdmin):
    """Shows which accounts are paused, until when and why, and pauses and resumes them."""

    list_display = ["name", "in_flight", "paused", "circuit_open_until", "waiting_because"]
    fields = [
        *("name", "in_flight", "waiting_because", "circuit_open_until", "failures"),
        *("fingerprint", "refused_at"),
    ]
    readonly_fields = ["in_flight", "waiting_because", "fingerprint"]
    actions = ["resume_selected", "pause_selected"]

    @property
    def media(self) -> Media:
        """The styles of the badge."""
        return super().media + Media(css={"all": ["django_docraptor/admin.css"]})

    def get_queryset(self, request: HttpRequest) -> QuerySet[Account]:
        """Return the accounts, with whether they are paused."""
        pauses = Pause.objects.told().filter(account=OuterRef("pk"))
        return super().get_queryset(request).annotate(has_pause=Exists(pauses))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[AccountList]:
        """Return the list that counts for all of its rows at once."""
        return AccountList

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Render the page of an account, with a button for each action that the user may run."""
        allowed = self.get_actions(request)
        names = [name for name in AccountAdmin.actions if name in allowed]
        context |= {
            "account_actions": [(name, getattr(self, name).short_description) for name in names],
            "action_checkbox_name": ACTION_CHECKBOX_NAME,
        }
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description=_("documents in progress"))
    def in_flight(self, account: Account) -> str:
        """Return how many documents DocRaptor processes with the account's key, and may process."""
        counts = vars(account).get("in_flight_by_key")
        if counts is None:
            counts = count_in_flight_by_key([account.pk])
        return f"{counts[account.pk]} / {settings_for_report(account.pk).max_in_flight}"

    @admin.display(description=_("API key"), empty_value=EMPTY_VALUE)
    def fingerprint(self, account: Account) -> str:
        """Return what tells the key from others: the end of its hash, never of the key."""
        return account.key_hash and f"…{account.key_hash[-4:]}"

    @admin.display(description=_("paused"), empty_value=EMPTY_VALUE)
    def paused(self, account: Account) -> SafeString:
        """Return a badge if a key of the account makes no calls: Django's tick would look fine."""
        return paused_badge() if _is_paused(account) else SafeString()

    @admin.display(description=_("reason for waiting"), empty_value=EMPTY_VALUE)
    def waiting_because(self, account: Account) -> str:
        """Return why the account's jobs wait, one reason per line."""
        if not (_is_paused(account) or account.circuit_open_until):
            return ""
        return "\n".join(str(each) for each in restrictions() if each.account == account.pk)

    @admin.action(permissions=["resume"], description=_("Resume now"))
    def resume_selected(self, request: HttpRequest, queryset: QuerySet[Account]) -> None:
        """End the pauses of the selected accounts, whose waiting jobs are due at once."""
        due = resume_accounts(request, list(queryset))
        message = ngettext(
            "Resumed: %(count)d job is due now.", "Resumed: %(count)d jobs are due now.", due
        )
        self.message_user(request, message % {"count": due}, messages.SUCCESS)

    @admin.action(permissions=["pause"], description=pgettext_lazy("account", "Pause…"))
    def pause_selected(
        self, request: HttpRequest, queryset: QuerySet[Account]
    ) -> HttpResponse | None:
        """Ask why and for how long, and pause the selected accounts."""
        return confirm_or_pause(self, request, queryset)

    def has_pause_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may pause accounts."""
        return bool(cast(Any, request.user).has_perm(PAUSE_PERMISSION))

    def has_resume_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may end a pause."""
        return bool(cast(Any, request.user).has_perm(RESUME_PERMISSION))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: an account is created by its first job."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Return False: a pause ends by itself, with the next successful call, or by resuming."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Return False: MAX_IN_FLIGHT is enforced by locking this row."""
        return False
