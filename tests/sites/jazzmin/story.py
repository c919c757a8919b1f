"""The story of the admin."""

from admin_story import main

__all__ = ["main"]
