"""Run the shop for ``make demo`` and ``make serve``: processes, sample data, services.

The site itself does not need this package.
"""
