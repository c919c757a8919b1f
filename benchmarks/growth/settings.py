"""Settings of the measured site; :mod:`benchmarks.growth.measure` says all by environment."""

from tests.settings import *  # noqa: F403

DEBUG = False
