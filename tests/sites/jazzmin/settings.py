"""Jazzmin has to be before Django's admin, as its own documentation says."""

from base import *  # noqa: F403
from base import INSTALLED_APPS

INSTALLED_APPS = ["jazzmin", *INSTALLED_APPS, "billing"]

# Light or dark, as the browser prefers.
JAZZMIN_UI_TWEAKS = {"default_theme_mode": "auto"}
