"""The shop from the tutorial. ``demo`` runs it for ``make demo`` and ``make serve``."""
