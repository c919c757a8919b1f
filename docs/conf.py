"""Sphinx configuration."""

from django_docraptor import __version__

project = "django-docraptor"
release = __version__
extensions = ["myst_parser"]
html_theme = "furo"
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
exclude_patterns = ["_build"]
suppress_warnings = ["myst.xref_missing"]
