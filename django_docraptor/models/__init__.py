"""The rows: jobs with their input and their history, accounts, and what else is remembered.

``jobs``      :class:`RenderJob` and :meth:`~RenderJob.move`, the one way to change a job's state
``queries``   which jobs, one method per question; and how workers claim them
``inputs``    what a job is made from
``events``    a job's history, and the signals that go with it
``storing``   many new jobs at once
``accounts``  what holds for all jobs of an account: pauses, faults
``pulse``     when the engine was last seen, and when it will wake
``files``     files whose jobs are gone
``clock``     moments by the database's clock

No HTTP and no Celery here.
"""

from django_docraptor.models.accounts import Account
from django_docraptor.models.clock import after
from django_docraptor.models.events import SIGNAL_LEASE, RenderEvent
from django_docraptor.models.files import DiscardedFile
from django_docraptor.models.inputs import RenderInput
from django_docraptor.models.jobs import RenderJob, logger
from django_docraptor.models.pulse import Pulse
from django_docraptor.models.queries import RenderJobQuerySet
from django_docraptor.models.storing import store

__all__ = [
    "SIGNAL_LEASE",
    "Account",
    "DiscardedFile",
    "Pulse",
    "RenderEvent",
    "RenderInput",
    "RenderJob",
    "RenderJobQuerySet",
    "after",
    "logger",
    "store",
]
