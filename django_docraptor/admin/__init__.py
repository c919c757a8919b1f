"""Internal. The admin for jobs and accounts: read-only, with retry, cancel and expire.

``jobs``: the job list and the job page. ``changelist``: bounded counts and indexed search.
``display``: formatting of values. ``inputs``: the stored input. ``sources``: access to source
objects. ``operations``: retry, cancel and expire, and their cost. ``accounts``: the accounts.

For a project's own models: ``documents`` has the mixin, ``confirmation`` the page before a document
is enqueued, ``enqueue`` creates the jobs, ``changelist_queries`` stores a report's rows as a query,
``latest`` finds existing documents, ``checks`` validates the configuration.
"""

from django_docraptor.admin.accounts import AccountAdmin
from django_docraptor.admin.documents import DocumentAdminMixin
from django_docraptor.admin.jobs import RenderJobAdmin

__all__ = ["AccountAdmin", "DocumentAdminMixin", "RenderJobAdmin"]
