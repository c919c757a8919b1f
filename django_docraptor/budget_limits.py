"""Internal. What the budgets allow: of an account, a document class, an owner.

Reads the settings and the classes, and asks the project's own functions; counts nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from django.contrib.auth import get_user_model

from django_docraptor import registry
from django_docraptor.account_settings import account_settings
from django_docraptor.conf import conf
from django_docraptor.exceptions import ConfigurationError
from django_docraptor.models.budgets import ACCOUNT, DOCUMENT, OWNER, Scope
from django_docraptor.setting_values import BUDGET_PERIODS, budget_error

Pair = tuple[Scope, str]


@dataclass(frozen=True, slots=True)
class Limit:
    """What a budget allows in one kind of period.

    Args:
        scope: whose documents count.
        period: ``day`` or ``month``.
        hard: no more than so many; ``None``: any number.
        soft: people are told from so many on; ``None``: they are not.
    """

    scope: Scope
    period: str
    hard: int | None
    soft: int | None

    @property
    def pair(self) -> Pair:
        """What finds its row."""
        return self.scope, self.period

    def reached_by(self, used: int) -> int | None:
        """Return the limit that so many documents reach, the hard one before the soft one."""
        reached = (each for each in (self.hard, self.soft) if each is not None and used >= each)
        return next(reached, None)


def scopes_of(account: str, document: str, owner_id: Any) -> tuple[Scope, ...]:
    """Return whose documents one is."""
    scopes = [Scope(ACCOUNT, account)]
    scopes += [Scope(DOCUMENT, document)] if document else []
    scopes += [Scope(OWNER, str(owner_id))] if owner_id is not None else []
    return tuple(scopes)


def limits_of(account: str, document: str, owner_id: Any) -> tuple[Limit, ...]:
    """Return the limits of a production document.

    Raises:
        ConfigurationError: a budget cannot be told.
    """
    scopes = scopes_of(account, document, owner_id)
    limits = (limit for scope in scopes for limit in _limits(scope, owner_id))
    return tuple(limits)


def limit_in_force(scope: Scope, period: str) -> Limit | None:
    """Return the limit that a budget has now for a kind of period, if it has one.

    Raises:
        ConfigurationError: it cannot be told.
    """
    is_owner = scope.kind == OWNER
    owner_id = get_user_model()._meta.pk.to_python(scope.name) if is_owner else None
    return next((each for each in _limits(scope, owner_id) if each.period == period), None)


def _limits(scope: Scope, owner_id: Any) -> Iterable[Limit]:
    budget = _budget_of(scope, owner_id)
    if error := budget_error(budget):
        raise ConfigurationError(f"The budget of the {scope.kind} {scope.name!r} {error}.")
    if budget is None:
        return
    for period in BUDGET_PERIODS:
        hard, soft = budget.get(period), budget.get(f"soft_{period}")
        if hard is not None or soft is not None:
            yield Limit(scope, period, hard, soft)


def _budget_of(scope: Scope, owner_id: Any) -> Mapping[str, int] | None:
    if scope.kind == ACCOUNT:
        return account_settings(scope.name).budget
    if scope.kind == DOCUMENT:
        return registry.budget(scope.name)
    source = conf.owner_budget
    if not callable(source):
        return cast("Mapping[str, int] | None", source)
    try:
        return cast("Mapping[str, int] | None", source(owner_id))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a library may even call sys.exit()
        raise ConfigurationError(
            f"DOCRAPTOR['OWNER_BUDGET'] raised {type(error).__name__} for the owner {owner_id!r}."
        ) from error
