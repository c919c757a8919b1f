"""Images, fonts and stylesheets of a document, so that DocRaptor needs nothing of this site.

Static files and files of storages become ``data:`` URIs, or public addresses. Nothing is fetched
from the network, and nothing is read outside the roots that the project has declared.
"""

from django_docraptor.assets.budget import Budget
from django_docraptor.assets.errors import AssetError
from django_docraptor.assets.references import asset_url, image_url, stylesheet

__all__ = ["AssetError", "Budget", "asset_url", "image_url", "stylesheet"]
