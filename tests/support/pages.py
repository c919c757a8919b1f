"""Users and their browsers, for the package's pages."""

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser, Permission
from django.http import HttpResponse
from django.test import Client


def client_of(user: AbstractBaseUser) -> Client:
    """Return a browser in which the user is logged in, with CSRF checks."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    return client


def create_staff(*permissions: str) -> AbstractBaseUser:
    """Return a staff user with the given permissions."""
    user = get_user_model().objects.create_user("clerk", password=None, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return get_user_model().objects.get(pk=user.pk)


def html_of(response: HttpResponse) -> str:
    """Return the page's HTML."""
    return response.content.decode()
