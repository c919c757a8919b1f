"""A user who requests documents, with a browser."""

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.test import Client

from tests.support.pages import client_of


@pytest.fixture
def owner() -> AbstractBaseUser:
    """The user who requests documents."""
    return get_user_model().objects.create_user("owner", password=None)


@pytest.fixture
def owner_client(owner: AbstractBaseUser) -> Client:
    """The owner's browser."""
    return client_of(owner)
