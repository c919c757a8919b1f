"""The shop."""

from django.apps import AppConfig


class ShopConfig(AppConfig):
    """The shop in INSTALLED_APPS."""

    name = "example_project.shop"
