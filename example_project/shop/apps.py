"""The shop."""

from django.apps import AppConfig


class ShopConfig(AppConfig):
    """The shop in INSTALLED_APPS."""

    name = "example_project.shop"

    def ready(self) -> None:
        """Connect the signal receivers."""
        from example_project.shop import receivers  # noqa: F401 - models must be loaded first
