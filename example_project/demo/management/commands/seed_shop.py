"""``manage.py seed_shop``: create sample invoices, and a new password for each user."""

import secrets
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand

from example_project.demo.samples import create_customers, issue_invoices
from shop.models import Invoice


class Command(BaseCommand):
    """Create users and sample data, and print the logins."""

    help = "Create sample invoices if there are none; set and print new passwords."

    def handle(self, *args: Any, **options: Any) -> None:
        """Create the users and invoices, then set the passwords."""
        get_user_model().objects.update_or_create(
            username="admin",
            defaults={"is_staff": True, "is_superuser": True, "email": "admin@shop.example"},
        )
        create_customers()
        for user in get_user_model().objects.filter(username__in=["admin", "ines", "tomas"]):
            password = secrets.token_urlsafe(9)
            user.set_password(password)
            user.save(update_fields=["password"])
            self.stdout.write(f"login  {user.username:6}  password  {password}")
        if not Invoice.objects.exists():
            issue_invoices()
