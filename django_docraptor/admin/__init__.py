"""Internal. The admin for jobs and accounts: read-only, with retry, cancel and expire.

``job_list``: the job list, with ``changelist`` (bounded counts), ``columns``, ``numbers``,
``filters``, ``search``, ``attention`` (what needs a look), ``downloads`` (who may read what),
``exports`` (ZIP and CSV) and ``statistics``. ``job_page``: the page of a job, with ``reasons`` (why
it failed), ``timeline`` (when what happened), ``inputs`` (the stored input) and ``stored_html`` (as
a browser shows it). ``operations``: retry, cancel and expire, and their cost; ``job_operations``:
their pages; ``retry_question`` and ``comparison``: what a retry would change; ``again``: a finished
document once more; ``log_entries``: who did what. ``jobs``: all of these together. ``display``:
formatting of values. ``sources``: access to source objects. ``share_links``: links to a document.
``accounts``: the accounts. ``groups``: groups of documents.

For a project's own models: ``documents`` has the mixin, ``confirmation`` the page before a document
is enqueued, ``enqueue`` creates the jobs, ``changelist_queries`` stores a report's rows as a query,
``latest`` finds existing documents, ``checks`` validates the configuration.
"""

from django_docraptor.admin.accounts import AccountAdmin
from django_docraptor.admin.documents import DocumentAdminMixin
from django_docraptor.admin.groups import RenderGroupAdmin
from django_docraptor.admin.jobs import RenderJobAdmin

__all__ = ["AccountAdmin", "DocumentAdminMixin", "RenderGroupAdmin", "RenderJobAdmin"]
