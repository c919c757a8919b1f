"""Internal. Labels with few values: each of them is a time series in every process."""

from collections.abc import Mapping
from itertools import islice

from django_docraptor import registry
from django_docraptor.conf import conf

OTHER = "other"
DEFAULT_ACCOUNT = "default"
# Accounts that have labels of their own, beside the default one.
MAX_ACCOUNTS = 50

_seen: set[str] = set()


def document_label(label: str) -> str:
    """Return the label of a registered document class, or "other"."""
    return label if label and registry.find(label) is not None else OTHER


def account_label(name: str) -> str:
    """Return the name of one of the first accounts, or "other".

    They are the first ones of the settings; if these do not name the accounts, of the process.
    """
    if name == DEFAULT_ACCOUNT or name in _seen:
        return name
    accounts = conf.user_settings.get("ACCOUNTS")
    if isinstance(accounts, Mapping):
        return name if name in islice(accounts, MAX_ACCOUNTS) else OTHER
    if len(_seen) >= MAX_ACCOUNTS:
        return OTHER
    _seen.add(name)
    return name


def outcome_label(error_code: str) -> str:
    """Return the code of an error, or "ok" without one."""
    return error_code or "ok"
