"""Paths of the site and of its run-time files."""

import os
from pathlib import Path

SITE = Path(__file__).resolve().parent.parent
ROOT = SITE.parent
VAR = Path(os.environ.get("EXAMPLE_VAR") or ROOT / "var").resolve()
