"""A page with a text."""

from wagtail.admin.panels import FieldPanel
from wagtail.fields import RichTextField
from wagtail.models import Page


class ArticlePage(Page):
    """An article."""

    body = RichTextField()
    content_panels = [*Page.content_panels, FieldPanel("body")]
    template = "articles/article.html"
