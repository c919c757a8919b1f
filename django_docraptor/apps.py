"""Internal. App configuration: discover documents, register checks."""

from importlib import import_module

from django.apps import AppConfig, apps
from django.utils.module_loading import module_has_submodule
from django.utils.translation import gettext_lazy as _


class DocRaptorConfig(AppConfig):
    """Configuration of the django_docraptor app."""

    name = "django_docraptor"
    label = "django_docraptor"
    verbose_name = _("DocRaptor documents")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Import the checks and every other app's ``documents`` module; connect the receivers.

        The package's own ``documents`` is not imported: it loads the engine, which a project
        without documents does not need.
        """
        from django_docraptor import checks  # noqa: F401 - models must be loaded first
        from django_docraptor.conf import conf
        from django_docraptor.deletions import connect_receivers
        from django_docraptor.models import checks as database_checks  # noqa: F401
        from django_docraptor.runners import has_task_queue

        connect_receivers()
        if conf.metrics:
            from django_docraptor.metrics import load_receivers

            load_receivers(conf.metrics)
        if conf.generation_log is True:
            from django_docraptor.documents.follow_ups import connect_log

            connect_log()
        for config in apps.get_app_configs():
            if config.name != self.name and module_has_submodule(config.module, "documents"):
                import_module(f"{config.name}.documents")
        if conf.runner in (None, "django.tasks") and has_task_queue():
            from django_docraptor.wakeups import import_steps

            # Workers of RQ fork a process for each message, which then needs no import.
            import_steps()
