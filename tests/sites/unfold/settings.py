"""Unfold has to be before Django's admin, as its own documentation says."""

from base import *  # noqa: F403
from base import INSTALLED_APPS

INSTALLED_APPS = ["unfold", *INSTALLED_APPS, "billing"]
