"""Makes time run faster in every process of the chaos site."""

from django.apps import AppConfig

from tests.chaos.time_scale import scale_engine


class ChaosConfig(AppConfig):
    """No models; only the hook."""

    name = "tests.chaos"
    label = "chaos"

    def ready(self) -> None:
        """Scale the engine's constants once the models are loaded."""
        scale_engine()
