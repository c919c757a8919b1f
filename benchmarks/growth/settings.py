"""Settings of the measured site; `probe_client` passes the rest in the environment."""

from tests.settings import *  # noqa: F403

DEBUG = False
