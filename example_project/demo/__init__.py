"""What drives the shop for ``make demo`` and ``make serve``: processes, sample data, services.

No part of the site: it needs none of this to run.
"""
