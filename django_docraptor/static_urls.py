"""Internal. URLs of the package's own static files, for pages that customers see."""

import logging
from typing import Final
from urllib.parse import quote

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static

logger = logging.getLogger(__name__)

FOLDER: Final = "django_docraptor/"


def static_url(name: str) -> str:
    """Return the URL of a static file of the package.

    A storage with a manifest raises for what collectstatic has not collected. A page without its
    style is better than none.

    Args:
        name: such as ``"customers.css"``.
    """
    try:
        return static(FOLDER + name)
    except (ValueError, ImproperlyConfigured):
        logger.warning("Static file %s%s has no URL: run collectstatic", FOLDER, name)
        return f"{settings.STATIC_URL or '/static/'}{quote(FOLDER + name)}"
