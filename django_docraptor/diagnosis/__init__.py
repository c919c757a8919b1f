"""Internal. Probes of a site's set-up: what ``docraptor_check`` runs and prints.

A probe is a small function that looks at one thing and returns results. `probing` runs it with a
deadline, and catches whatever it raises. Nothing here is needed to generate a document.
"""
