"""Each published version of an article as a PDF."""

from django.dispatch import receiver
from wagtail.signals import page_published

from articles.models import ArticlePage
from django_docraptor import Document


class ArticlePDF(Document[ArticlePage]):
    """An article for print."""

    model = ArticlePage
    template_name = "articles/article_pdf.html"

    def get_name(self):
        """Return the name of the file."""
        return f"{self.source.slug}.pdf"


@receiver(page_published, sender=ArticlePage)
def enqueue_article(instance, revision, **kwargs):
    """Enqueue a PDF of this revision, once for each."""
    key = f"article-{instance.pk}-{revision.pk}"
    ArticlePDF.enqueue(instance, owner=instance.owner, idempotency_key=key)
