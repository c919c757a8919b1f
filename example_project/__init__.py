"""The shop that the tutorial builds. ``demo`` runs it for ``make demo`` and ``make serve``."""
