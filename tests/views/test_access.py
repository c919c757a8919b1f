"""Who may get what: every URL, for every kind of user and link, against one table.

A URL without a row fails, and so does a row without a URL. All who are not in a row are refused: by
403, 404, 405 or the login page, without learning whether the job exists, and nothing changes.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.db.models import Model
from django.test import Client
from django.urls import URLPattern, reverse

from django_docraptor import revoke, share
from django_docraptor.callback_urls import make_token
from django_docraptor.models import (
    GroupState,
    RenderEvent,
    RenderGroup,
    RenderInput,
    RenderJob,
    ShareLink,
    seconds_from_now,
)
from django_docraptor.page_urls import PAGE_SALT
from django_docraptor.share_urls import make_share_token
from django_docraptor.states import ErrorCode, State
from django_docraptor.urls import urlpatterns
from tests.apps.shop.documents import InvoicePDF
from tests.support.stored_files import PDF, completed_job

pytestmark = pytest.mark.django_db

# What must not be in a response to those who are refused.
SECRET: Final = "secret-of-anna"

ANONYMOUS, OTHER, OWNER = "anonymous", "other customer", "owner"
STAFF, VIEWER, SUPERUSER = "staff without permission", "staff with view only", "superuser"
ACTORS: Final = (ANONYMOUS, OTHER, OWNER, STAFF, VIEWER, SUPERUSER)
EVERYONE: Final = frozenset(ACTORS)
NO_ONE: Final[frozenset[str]] = frozenset()
READERS: Final = frozenset({OWNER, VIEWER, SUPERUSER})
VIEWERS: Final = frozenset({VIEWER, SUPERUSER})
ALL_STAFF: Final = frozenset({STAFF, VIEWER, SUPERUSER})
ONLY_SUPERUSER: Final = frozenset({SUPERUSER})


@dataclass(frozen=True, slots=True)
class Access:
    """Who may use a URL, by method; for a URL with a token, with a valid one."""

    get: frozenset[str] = NO_ONE
    post: frozenset[str] = NO_ONE

    def allowed(self, method: str) -> frozenset[str]:
        """Return the actors that may use a method."""
        # Django's admin takes PUT for GET: it shows the page.
        return self.post if method == "post" else self.get


PREVIEWS: Final = Access(get=ONLY_SUPERUSER)
OPERATION: Final = Access(get=ONLY_SUPERUSER, post=ONLY_SUPERUSER)
JOB_ADMIN: Final = "admin:django_docraptor_renderjob"
ACCESS: Final = {
    "django_docraptor:callback": Access(post=EVERYONE),
    # Who has the token: tests/views/test_monitoring.py.
    "django_docraptor:health": Access(),
    "django_docraptor:download": Access(get=READERS),
    "django_docraptor:status": Access(get=READERS, post=READERS),
    # Each user's own documents: tests/views/test_my_documents.py.
    "django_docraptor:my-documents": Access(get=EVERYONE - {ANONYMOUS}),
    "django_docraptor:group-download": Access(get=READERS),
    "django_docraptor:group-status": Access(get=READERS),
    "django_docraptor:shared": Access(get=EVERYONE),
    "django_docraptor:previews": PREVIEWS,
    "django_docraptor:preview": PREVIEWS,
    "django_docraptor:preview-html": PREVIEWS,
    "django_docraptor:preview-file": PREVIEWS,
    "django_docraptor:preview-state": PREVIEWS,
    "django_docraptor:preview-test-document": Access(post=ONLY_SUPERUSER),
    f"{JOB_ADMIN}_changelist": Access(get=VIEWERS, post=VIEWERS),
    f"{JOB_ADMIN}_change": Access(get=VIEWERS),
    f"{JOB_ADMIN}_history": Access(get=VIEWERS, post=VIEWERS),
    f"{JOB_ADMIN}_add": Access(),
    f"{JOB_ADMIN}_delete": Access(),
    f"{JOB_ADMIN}_retry": OPERATION,
    f"{JOB_ADMIN}_release": OPERATION,
    f"{JOB_ADMIN}_cancel": OPERATION,
    f"{JOB_ADMIN}_expire": OPERATION,
    f"{JOB_ADMIN}_retry_all": OPERATION,
    f"{JOB_ADMIN}_again": OPERATION,
    f"{JOB_ADMIN}_html": Access(get=VIEWERS),
    f"{JOB_ADMIN}_html_frame": Access(get=VIEWERS),
    f"{JOB_ADMIN}_statistics": Access(get=VIEWERS),
    # Of all documents, with a permission of its own: tests/admin/test_usage.py.
    f"{JOB_ADMIN}_usage": Access(get=ONLY_SUPERUSER),
    f"{JOB_ADMIN}_share": OPERATION,
    f"{JOB_ADMIN}_share_link": OPERATION,
    f"{JOB_ADMIN}_share_revoke": OPERATION,
    # Django's redirect from an old form of the URL to the job's page.
    f"{JOB_ADMIN}_None": Access(get=ALL_STAFF, post=ALL_STAFF),
}


def patterns() -> dict[str, URLPattern]:
    """Return the URL patterns of the package and of the jobs' admin, by name."""
    found = {f"django_docraptor:{pattern.name}": pattern for pattern in urlpatterns}
    prefix = f"{JOB_ADMIN}_"
    for pattern in admin.site._registry[RenderJob].get_urls():
        name = f"admin:{pattern.name}" if pattern.name else f"{prefix}None"
        assert name not in found, name
        found[name] = pattern
    return found


def test_every_url_has_a_row() -> None:
    """The table has each URL and no other: a new one needs a decision about who may use it."""
    assert set(patterns()) == set(ACCESS)


# --- who is asking, for what -----------------------------------------------------------------


@pytest.fixture
def users() -> dict[str, User | None]:
    """A user of each kind; the anonymous one is None."""
    found: dict[str, User | None] = {ANONYMOUS: None}
    for name in (OTHER, OWNER):
        found[name] = User.objects.create_user(name)
    for name in (STAFF, VIEWER):
        found[name] = User.objects.create_user(name, is_staff=True)
    found[VIEWER].user_permissions.add(  # type: ignore[union-attr]
        Permission.objects.get(codename="view_renderjob")
    )
    found[SUPERUSER] = User.objects.create_superuser(SUPERUSER)
    return found


def client_of(user: User | None) -> Client:
    """Return a browser without CSRF checks, which would hide what a view does."""
    client = Client(raise_request_exception=True)
    if user is not None:
        client.force_login(user)
    return client


def complete(owner: User) -> RenderJob:
    """Return a completed job, and a group with the same ID and file."""
    job = completed_job(owner=owner, name=f"{SECRET}.pdf", attempt=1)
    columns = {"state": GroupState.COMPLETED, "merge": "pdf", "file": job.file.name, "total": 1}
    RenderGroup.objects.create(pk=job.pk, name=job.name, owner=owner, **columns)
    return job


def fail(owner: User) -> RenderJob:
    """Return a failed job, whose error is a secret, too."""
    job = complete(owner)
    RenderJob.objects.filter(pk=job.pk).update(
        state=State.FAILED, error_code=ErrorCode.RENDER_FAILED, errors=SECRET, file="", test=False
    )
    return RenderJob.objects.get(pk=job.pk)


def hold(owner: User) -> RenderJob:
    """Return an unfinished job that is held."""
    job = complete(owner)
    RenderJob.objects.filter(pk=job.pk).update(
        state=State.PENDING, due_at=seconds_from_now(9999), held_at=seconds_from_now(0), file=""
    )
    return RenderJob.objects.get(pk=job.pk)


def host(owner: User) -> RenderJob:
    """Return a completed job with a hosted document."""
    job = complete(owner)
    url = f"https://docraptor.example/{SECRET}"
    RenderJob.objects.filter(pk=job.pk).update(hosted=True, public_url=url, file="")
    return RenderJob.objects.get(pk=job.pk)


METHODS: Final = ("head", "get", "post", "put", "patch", "delete")
JOBS: Final = {function.__name__: function for function in (complete, fail, hold, host)}


def url_of(name: str, job_id: uuid.UUID, link_id: uuid.UUID, *, token: str = "") -> str:
    """Return a URL of the table for a job and a link."""
    arguments = {
        "pk": job_id,
        "key": job_id,
        "object_id": str(job_id),
        "link_key": link_id,
        "label": InvoicePDF.label,
        "token": token or valid_token(name, job_id, link_id),
    }
    pattern = patterns()[name].pattern
    used = {key: arguments[key] for key in pattern.converters}  # type: ignore[attr-defined]
    if name.endswith("_None"):
        return f"{reverse(f'{JOB_ADMIN}_changelist')}{job_id}/"
    return reverse(name, kwargs=used)


def valid_token(name: str, job_id: uuid.UUID, link_id: uuid.UUID) -> str:
    """Return a token that a URL accepts; other URLs do not use it."""
    if name == "django_docraptor:shared":
        return str(make_share_token(link_id))
    return make_token(job_id, 1)


def is_refused(response: Any) -> bool:
    """Return whether a response is a refusal: an error, or the way to a login page."""
    if response.status_code in (301, 302):
        return "/login/" in response["Location"]
    return response.status_code in (403, 404, 405)


def body_of(response: Any) -> bytes:
    """Return the whole body of a response."""
    return bytes(response.getvalue())


def rows() -> dict[str, list[dict[str, Any]]]:
    """Return all rows that belong to jobs."""
    models: tuple[type[Model], ...] = (RenderJob, RenderInput, RenderEvent, ShareLink, RenderGroup)
    return {
        model.__name__: list(model._default_manager.order_by("pk").values()) for model in models
    }


# --- the table -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", JOBS)
@pytest.mark.parametrize("name", ACCESS)
def test_table(
    name: str, kind: str, users: dict[str, Any], documents_dir: Path, settings: Any
) -> None:
    """Those in the row get something; all others are refused, learn nothing and change nothing."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RUNNER": "none"}
    job, access = JOBS[kind](users[OWNER]), ACCESS[name]
    link = ShareLink.objects.create(job=job, expires_at=seconds_from_now(3600))
    url = url_of(name, job.pk, link.pk)
    before = rows()
    for actor in ACTORS:
        client = client_of(users[actor])
        for method in METHODS if kind == "complete" else ("get", "post"):
            if actor in access.allowed(method):
                continue
            response = getattr(client, method)(url)
            assert is_refused(response), (actor, method, response.status_code)
            body = body_of(response)
            assert SECRET.encode() not in body, (actor, method)
            assert PDF[:8] not in body, (actor, method)
    assert rows() == before


@pytest.mark.parametrize("name", ACCESS)
def test_those_in_the_row_are_not_refused(
    name: str, users: dict[str, Any], documents_dir: Path, settings: Any, sandbox: Any
) -> None:
    """The table is not just closed: each of its entries is used."""
    job = complete(users[OWNER])
    link = share(job, by=users[OWNER])
    url, access = url_of(name, job.pk, link.pk), ACCESS[name]
    for actor in ACTORS:
        for method in ("get", "post"):
            if actor in access.allowed(method):
                response = getattr(client_of(users[actor]), method)(url)
                assert not is_refused(response), (actor, method, response.status_code)
                body_of(response)


# Django's own history view looks for the object before it asks for the permission.
TELLING: Final = {f"{JOB_ADMIN}_history", f"{JOB_ADMIN}_None"}


@pytest.mark.parametrize("name", sorted(ACCESS.keys() - TELLING))
def test_refusals_do_not_tell_whether_a_job_exists(
    name: str, users: dict[str, Any], documents_dir: Path
) -> None:
    """For those who may not see it, another user's job looks like one that never was."""
    job = complete(users[OWNER])
    link = share(job)
    unknown, unknown_link = uuid.uuid4(), uuid.uuid4()
    for actor in ACTORS:
        for method in ("get", "post"):
            if actor in ACCESS[name].allowed(method) | ACCESS[name].allowed("get"):
                continue  # Django 6.1 answers a POST of those who may see the page otherwise
            client = client_of(users[actor])
            found = getattr(client, method)(url_of(name, job.pk, link.pk))
            missing = getattr(client, method)(url_of(name, unknown, unknown_link))
            assert found.status_code == missing.status_code, (actor, method)
            assert normal(found, job.pk, link.pk) == normal(missing, unknown, unknown_link)


def normal(response: Any, job_id: uuid.UUID, link_id: uuid.UUID) -> str:
    """Return what a response says, without what the request has said itself."""
    text = response.get("Location", "") + body_of(response).decode()
    for own in (str(make_share_token(link_id)), make_token(job_id, 1), str(job_id), str(link_id)):
        text = text.replace(own, "…").replace(own.replace(":", "%3A"), "…")
    return text


# --- tokens ----------------------------------------------------------------------------------


def bad_tokens(job: RenderJob, link: ShareLink) -> Iterator[tuple[str, str]]:
    """Yield tokens that no URL accepts, with what is wrong with them."""
    shared, callback = str(make_share_token(link.pk)), make_token(job.pk, 1)
    other = link.pk.hex[:-1] + ("0" if link.pk.hex[-1] != "0" else "1")
    yield "another link's ID", shared.replace(link.pk.hex, other)
    yield "the job's ID", shared.replace(link.pk.hex, job.pk.hex)
    yield "without a signature", link.pk.hex
    yield "a cut signature", shared[:-1]
    yield "an empty signature", f"{link.pk.hex}."
    yield "upper case", shared.upper()
    yield "another purpose", make_token(job.pk, 1, salt=PAGE_SALT)
    yield "a link's ID as a job's", make_token(link.pk, 1, salt=PAGE_SALT)
    yield "twice", f"{shared}.{shared}"
    yield "another attempt", callback.replace("-1.", "-2.")
    yield "NUL", f"{shared}\x00"


@pytest.mark.parametrize("name", [name for name in ACCESS if name.endswith(("callback", "shared"))])
def test_tampered_tokens(name: str, users: dict[str, Any], documents_dir: Path) -> None:
    """A token is of no use for anything but what it was signed for, not even to a superuser."""
    job = complete(users[OWNER])
    link = share(job)
    before = rows()
    for actor in (ANONYMOUS, OWNER, SUPERUSER):
        client = client_of(users[actor])
        for what, token in bad_tokens(job, link):
            for method in ("get", "post"):
                response = getattr(client, method)(url_of(name, job.pk, link.pk, token=token))
                assert is_refused(response), (what, actor, method)
                assert SECRET.encode() not in body_of(response), (what, actor, method)
    assert rows() == before


@pytest.mark.parametrize("end", ["revoked", "expired", "used up"])
@pytest.mark.parametrize("query", ["", "?download", "?inline"])
def test_links_that_have_ended(
    end: str, query: str, users: dict[str, Any], documents_dir: Path
) -> None:
    """A link that has ended gives nothing to anyone, not even to those who may read the job."""
    job = complete(users[OWNER])
    link = share(job, max_downloads=1)
    changes = {"expired": {"expires_at": seconds_from_now(-1)}, "used up": {"downloads": 1}}
    ShareLink.objects.filter(pk=link.pk).update(**changes.get(end, {"max_downloads": 1}))
    if end == "revoked":
        revoke(link)
    before = rows()
    for actor in ACTORS:
        response = client_of(users[actor]).get(f"{link.get_absolute_url()}{query}")
        assert response.status_code == 404, actor
        assert SECRET.encode() not in body_of(response), actor
    assert rows() == before


@pytest.mark.parametrize("query", ["", "?download", "?inline"])
def test_working_link_opens_its_job_only(
    query: str, users: dict[str, Any], documents_dir: Path
) -> None:
    """Who has a link has that file, and not the job's other pages."""
    job = complete(users[OWNER])
    link = share(job)
    client = client_of(None)
    response = client.get(f"{link.get_absolute_url()}{query}")
    assert (response.status_code, SECRET in str(response.headers) + body_of(response).decode()) == (
        200,
        True,
    )
    for name in ACCESS.keys() - {"django_docraptor:shared", "django_docraptor:callback"}:
        assert is_refused(client.get(url_of(name, job.pk, link.pk) + query)), name
