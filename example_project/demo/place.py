"""Where the site is, and where its run writes."""

import os
from pathlib import Path

SITE = Path(__file__).resolve().parent.parent
ROOT = SITE.parent
VAR = Path(os.environ.get("EXAMPLE_VAR") or ROOT / "var").resolve()
