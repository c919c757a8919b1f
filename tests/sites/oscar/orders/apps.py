"""The app of the documents."""

from django.apps import AppConfig


class OrdersConfig(AppConfig):
    """Documents of oscar's orders."""

    name = "orders"
