"""A site of Wagtail with articles."""

from base import *  # noqa: F403
from base import INSTALLED_APPS

INSTALLED_APPS = [
    "wagtail.contrib.forms",
    "wagtail.contrib.redirects",
    "wagtail.sites",
    "wagtail.users",
    "wagtail.documents",
    "wagtail.images",
    "wagtail.embeds",
    "wagtail.search",
    "wagtail.snippets",
    "wagtail.admin",
    "wagtail",
    "modelcluster",
    "taggit",
    *INSTALLED_APPS,
    "articles",
]
WAGTAIL_SITE_NAME = "Articles"
WAGTAILADMIN_BASE_URL = "http://127.0.0.1"
