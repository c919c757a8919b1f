"""Internal. Receivers of Django's signal before a job or a group is deleted.

What they call is imported with the first deletion, so that a project starts without it.
"""

from typing import Any

from django.db.models.signals import pre_delete

from django_docraptor.models import RenderGroup, RenderJob


def connect_receivers() -> None:
    """Keep the files and the figures of everything that Django deletes, also in a cascade."""
    pre_delete.connect(_before_job, sender=RenderJob, dispatch_uid="django_docraptor.jobs")
    pre_delete.connect(_before_group, sender=RenderGroup, dispatch_uid="django_docraptor.groups")


def _before_job(instance: RenderJob, using: str, **kwargs: Any) -> None:
    from django_docraptor import discarded_files, usage

    discarded_files.record_files_of_row(instance, using=using)
    usage.count_row(instance, using=using)


def _before_group(instance: RenderGroup, using: str, **kwargs: Any) -> None:
    from django_docraptor import discarded_files

    discarded_files.record_file_of_group(instance, using=using)
