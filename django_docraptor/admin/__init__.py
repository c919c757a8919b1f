"""Jobs and accounts in Django's admin: to read, to retry and to cancel; nothing is edited here.

``jobs`` has the list and the page of a job, ``changelist`` what keeps the list fast, ``display``
how a value looks, ``sources`` who sees what of a source, ``steps`` what retry and cancel mean for
the bill, ``accounts`` the accounts.

For a project's own models: ``documents`` has the mixin, ``orders`` what it orders, ``selections``
the rows of a report, ``newest`` what there is already, ``checks`` what is wrong with its set-up.
"""

from django_docraptor.admin.accounts import AccountAdmin
from django_docraptor.admin.documents import DocumentAdminMixin
from django_docraptor.admin.jobs import RenderJobAdmin

__all__ = ["AccountAdmin", "DocumentAdminMixin", "RenderJobAdmin"]
