"""The jobs' admin, as a browser sees it."""

from typing import Any
from uuid import uuid4

from django.contrib.auth.models import Permission, User
from django.test import Client

from django_docraptor.models import RenderJob
from django_docraptor.models.clock import Now
from django_docraptor.states import FINAL_STATES, ErrorCode, State
from tests.support.jobs import enqueue

LIST = "/admin/django_docraptor/renderjob/"
HOSTILE = "<script>alert('hostile')</script>"
ESCAPED = "&lt;script&gt;alert(&#x27;hostile&#x27;)&lt;/script&gt;"
VIEW, RETRY, CANCEL = "view_renderjob", "retry_renderjob", "cancel_renderjob"


def staff_client(*permissions: str) -> Client:
    """Return a browser in which a staff user with these permissions is logged in."""
    user = User.objects.create_user(f"staff-{'-'.join(permissions)}", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def create_admin_job(
    state: State = State.PENDING, options: dict[str, Any] | None = None, **columns: Any
) -> Any:
    """Return a job in the given state, with columns as the engine would leave them."""
    job = enqueue(**{"test": False, **(options or {})})
    if state in FINAL_STATES:
        columns = {"due_at": None, "finished_at": Now(), **columns}
    RenderJob.objects.filter(pk=job.pk).update(state=state, **columns)
    job.refresh_from_db()
    return job


def failed_job(reason: ErrorCode = ErrorCode.RENDER_FAILED, **columns: Any) -> Any:
    """Return a failed production job."""
    columns = {"attempt": 1, "status_id": f"status-{uuid4()}", **columns}
    return create_admin_job(State.FAILED, error_code=reason, **columns)


def job_url(job: RenderJob, operation: str = "change") -> str:
    """Return the URL of a job's page, or of the confirmation of an operation."""
    return f"{LIST}{job.pk}/{operation}/"


def get_text(client: Client, url: str, data: dict[str, Any] | None = None) -> str:
    """Return the HTML of a page."""
    response = client.get(url, data)
    assert response.status_code == 200
    return response.content.decode()


def confirm(client: Client, url: str, **data: Any) -> Any:
    """Press the button on a confirmation page."""
    asked = client.post(url, data)
    return client.post(url, {**data, "fingerprint": asked.context["plan"].fingerprint}, follow=True)


def current_state(job: RenderJob) -> str:
    """Return the state in the database."""
    return RenderJob.objects.get(pk=job.pk).state
