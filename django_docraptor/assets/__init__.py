"""Internal. Embed images, fonts and stylesheets, so that DocRaptor need not access this site.

Static and stored files become ``data:`` URIs or public URLs. Nothing is fetched from the network or
read outside the configured roots.
"""

from django_docraptor.assets.budget import Budget
from django_docraptor.assets.embed import asset_url, image_url, stylesheet_html
from django_docraptor.assets.errors import AssetError

__all__ = ["AssetError", "Budget", "asset_url", "image_url", "stylesheet_html"]
