"""A user and a request for a document."""

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.http import HttpRequest
from django.test import RequestFactory

from django_docraptor.sandbox import Sandbox
from tests.support.responses import PAGE


@pytest.fixture
def owner() -> AbstractBaseUser:
    """The user who requests the document."""
    return get_user_model().objects.create_user("owner", password=None)


@pytest.fixture
def request_(rf: RequestFactory, owner: AbstractBaseUser) -> HttpRequest:
    """The owner's request, linked from a page of the site."""
    request = rf.get("/invoices/17/pdf/", headers={"Referer": PAGE})
    request.user = owner
    return request


@pytest.fixture
def fast_polling(sandbox: Sandbox, settings: Any) -> Sandbox:
    """A sandbox that is polled often."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"POLL": {"floor": 0.05}}
    return sandbox
