"""An editor publishes an article, twice; each version has its PDF."""

from articles.models import ArticlePage
from steps import assert_downloads, client_of, completed_job, user
from wagtail.models import Page

from django_docraptor.models import RenderJob


def main() -> None:
    """Publish an article, and change it."""
    ada = user("ada", is_staff=True, is_superuser=True)
    bob = user("bob")
    home = Page.objects.get(depth=2)
    article = ArticlePage(title="On paper", slug="on-paper", body="<p>First</p>", owner=ada)
    home.add_child(instance=article)
    article.save_revision(user=ada).publish(user=ada)
    job = completed_job()
    assert job.name == "on-paper.pdf", job.name
    assert job.source == article, job.source
    assert_downloads(job, owner=ada, other=bob)

    article.body = "<p>Second</p>"
    article.save_revision(user=ada).publish(user=ada)
    completed_job(idempotency_key__endswith=f"-{article.latest_revision_id}")
    assert RenderJob.objects.count() == 2
    assert client_of(ada).get(f"/cms/pages/{article.pk}/edit/").status_code == 200
    assert client_of(bob).get(article.url).status_code == 200
    print("an article, and the PDF of each version that was published")
