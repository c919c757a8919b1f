"""The app: finds documents, registers checks."""

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _


class DocRaptorConfig(AppConfig):
    """DocRaptor in INSTALLED_APPS."""

    name = "django_docraptor"
    label = "django_docraptor"
    verbose_name = _("DocRaptor documents")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Import every app's ``documents`` module, and the checks."""
        from django_docraptor import checks  # noqa: F401 - models must be loaded first

        autodiscover_modules("documents")
