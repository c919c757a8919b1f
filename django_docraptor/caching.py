"""Internal. Read and write Django's cache. What it forgets, or cannot do, is never an error.

A cache raises what its client raises. No page, and no e-mail, is worth less because of it.
"""

import logging
from typing import Any

from django.core.cache import cache

logger = logging.getLogger(__name__)


def read_cache(key: str) -> Any:
    """Return a value of the cache; ``None`` if it has none, or fails."""
    try:
        return cache.get(key)
    except Exception:
        logger.warning("The cache failed to read a value; it is taken for empty", exc_info=True)
        return None


def write_cache(key: str, value: Any, seconds: int) -> None:
    """Keep a value in the cache, if it works."""
    try:
        cache.set(key, value, seconds)
    except Exception:
        logger.warning("The cache failed to keep a value", exc_info=True)
