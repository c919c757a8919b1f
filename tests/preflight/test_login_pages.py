"""A URL of this site that needs a login: DocRaptor would make a document of the login page."""

from typing import Any

import pytest
from django.contrib.auth.decorators import login_not_required, login_required
from django.contrib.auth.mixins import LoginRequiredMixin, PermissionRequiredMixin
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views import View
from django.views.decorators.cache import never_cache

from django_docraptor import document_page
from django_docraptor.preflight.inspection import check_url
from django_docraptor.shortcuts import enqueue
from tests.urls import urlpatterns as site_patterns

pytestmark = pytest.mark.urls(__name__)
SITE = "https://shop.example"
MIDDLEWARE = "django.contrib.auth.middleware.LoginRequiredMiddleware"


def public(request: HttpRequest) -> HttpResponse:
    """Show a page to everyone."""
    return HttpResponse("public")


@login_not_required
def exempt(request: HttpRequest) -> HttpResponse:
    """Show a page to everyone, whatever the middleware."""
    return HttpResponse("public")


class WithLogin(LoginRequiredMixin, View):
    """A view that needs a login."""


class WithPermission(PermissionRequiredMixin, View):
    """A view that needs a permission."""


urlpatterns = [
    *site_patterns,
    path("public/", public),
    path("exempt/", exempt),
    path("decorated/", never_cache(login_required(public))),
    path("mixin/", WithLogin.as_view()),
    path("permission/", never_cache(WithPermission.as_view())),
    path("page/", document_page(public)),
]


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    """A site whose address is known."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"CALLBACK_BASE_URL": SITE}


@pytest.mark.fault("E12")
@pytest.mark.parametrize(
    "url",
    [
        f"{SITE}/decorated/",
        f"{SITE}/decorated/?page=2",
        "https://SHOP.example/mixin/",
        f"{SITE}/permission/",
        f"{SITE}/page/",
    ],
)
def test_page_that_needs_a_login_is_refused(url: str) -> None:
    """The message names the remedy, and the rule."""
    with pytest.raises(ValidationError, match=r"needs a login.*@document_page.*\(login-page\)"):
        check_url(url, test=True)


@pytest.mark.parametrize(
    "url",
    [
        f"{SITE}/public/",
        f"{SITE}/exempt/",
        f"{SITE}/missing/",
        SITE,
        "https://other.example/decorated/",
        "http://shop.example:8443/decorated/",
    ],
)
def test_other_pages_pass(url: str) -> None:
    """Public pages, and those of other sites, are none of this rule's business."""
    check_url(url, test=True)


def test_middleware_protects_every_view(settings: Any) -> None:
    """With LoginRequiredMiddleware, only views without login_not_required need a login."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, MIDDLEWARE]
    check_url(f"{SITE}/exempt/", test=True)
    with pytest.raises(ValidationError, match="login-page"):
        check_url(f"{SITE}/public/", test=True)


def test_site_below_a_path(settings: Any) -> None:
    """A site below a path has only the pages below it."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"CALLBACK_BASE_URL": f"{SITE}/app"}
    check_url(f"{SITE}/decorated/", test=True)
    with pytest.raises(ValidationError, match="login-page"):
        check_url(f"{SITE}/app/decorated/", test=True)


def test_rule_can_be_turned_off(settings: Any) -> None:
    """As every rule of the preflight."""
    check_url(f"{SITE}/decorated/", test=True, ignore={"login-page"})
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"PREFLIGHT_IGNORE": ["login-page"]}
    check_url(f"{SITE}/decorated/", test=True)


@pytest.mark.django_db
def test_enqueue_refuses_a_view_that_does_not_accept_the_signature() -> None:
    """A path is signed, and only a view with document_page accepts that."""
    owner = User.objects.create_user("owner")
    enqueue(name="a.pdf", url="/page/", owner=owner)
    enqueue(name="a.pdf", url="/public/", owner=owner)
    with pytest.raises(ValidationError, match=r"needs a login.*\(login-page\)"):
        enqueue(name="a.pdf", url="/decorated/", owner=owner)
