#!/usr/bin/env python
"""Django's command line for the example project."""

import os
import sys
from pathlib import Path

# The repository's root in place of this directory, whose celery.py would hide Celery itself.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from django.core.management import execute_from_command_line  # noqa: E402 - the path comes first

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_project.settings")
    execute_from_command_line(sys.argv)
