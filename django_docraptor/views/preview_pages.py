"""Internal. What the page of a preview shows. No access rules and no responses here."""

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from django.http import HttpRequest
from django.urls import reverse

from django_docraptor.account_settings import DEFAULT_ACCOUNT, settings_for_report
from django_docraptor.documents.inspection import Finding
from django_docraptor.preflight import Severity
from django_docraptor.previews import catalogue, files
from django_docraptor.previews.digests import preview_digests
from django_docraptor.previews.failures import Excerpt, Failure, PreviewError, describe_failure
from django_docraptor.previews.failures import excerpt as excerpt_of
from django_docraptor.previews.loading import other_hosts
from django_docraptor.previews.rendering import Preview
from django_docraptor.previews.selection import SOURCE, Selection, selected_query

# Ways to look at a document, by the parameter `view`.
PDF, HTML, MARKUP = "pdf", "html", "source"
# Lines of the source that are shown, and characters of a line.
MAX_LINES: Final = 5_000
MAX_LINE: Final = 300
# Pages of a PDF that have a link.
MAX_PAGE_LINKS: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link to another state of the page."""

    title: str
    url: str
    is_current: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownFinding:
    """A problem with the lines of its templates, and a link to its line of the source."""

    finding: Finding
    excerpts: list[Excerpt]
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownFile:
    """The PDF: its pages, size and time, or why there is none."""

    pages: list[Link]
    page_count: int = 0
    size: int = 0
    seconds: float = 0.0
    failure: Failure | None = None


def shorten(line: str) -> str:
    """Return a line, cut if it is long, such as one with an embedded image."""
    return line if len(line) <= MAX_LINE else f"{line[:MAX_LINE]}…"


class PreviewPage:
    """The page of one document.

    Args:
        request: for the page.
        selection: what its URL selects.
        preview: of the selection.
    """

    def __init__(self, request: HttpRequest, selection: Selection, preview: Preview) -> None:
        self.request = request
        self.selection = selection
        self.preview = preview
        self.label = selection.document.label
        self.query = selected_query(request.GET)

    def context(self) -> dict[str, Any]:
        """Return the context of the template."""
        preview, selection = self.preview, self.selection
        views = self._views()
        view = next((link for link in views if link.is_current), None)
        return {
            "entry": catalogue.describe(selection.document),
            "samples": self._samples(),
            "form": selection.form,
            "source": selection.sample.key if selection.sample else "",
            "needs_params": selection.params is None and not preview.failure,
            "failure": preview.failure,
            "findings": [self._shown(finding) for finding in preview.findings],
            "views": views,
            "view": view.title if view else "",
            "document": preview.request,
            "spec": preview.spec,
            "page": preview.page,
            "file": self._file() if view and view.title == "PDF" else None,
            "file_type": self._file_type(),
            "has_renderer": self._has_renderer(),
            "markup": self._markup() if view and view.title == "Source" else [],
            "other_hosts": self._other_hosts() if view and view.title == "HTML" else [],
            "loads_others": "external" in self.request.GET,
            "urls": self._urls(),
            "digests": preview_digests(selection, preview),
            "service": self._service(preview),
        }

    def _service(self, preview: Preview) -> str:
        """Return the host to which a test document is sent."""
        account = preview.spec.account if preview.spec else DEFAULT_ACCOUNT
        return urlsplit(settings_for_report(account).base_url).netloc

    def _url(self, name: str = "preview", **values: str) -> str:
        """Return the URL of a view for the current selection."""
        query = self.request.GET.copy()
        query.clear()
        query.update(values)
        text = "&".join(filter(None, [self.query, query.urlencode()]))
        path = reverse(f"django_docraptor:{name}", args=[self.label])
        return f"{path}?{text}" if text else path

    def _urls(self) -> dict[str, str]:
        external = {"external": "1"} if "external" in self.request.GET else {}
        return {
            "reload": self.request.get_full_path(),
            "html": self._url("preview-html", **external),
            "file": self._url("preview-file"),
            "state": self._url("preview-state"),
            "test": self._url("preview-test-document"),
            "others": self._url(view=HTML, external="1"),
            "no_others": self._url(view=HTML),
        }

    def _samples(self) -> list[Link]:
        links = []
        view = self.request.GET.get("view", "")
        for sample in self.selection.samples:
            query = self.request.GET.copy()
            query.clear()
            query.update({SOURCE: sample.key} | ({"view": view} if view else {}))
            path = reverse("django_docraptor:preview", args=[self.label])
            is_current = sample is self.selection.sample
            url = f"{path}?{query.urlencode()}"
            links.append(Link(title=sample.title, url=url, is_current=is_current))
        return links

    def _views(self) -> list[Link]:
        """Return the ways to look at the document, none of which exists without its HTML."""
        if not self.preview.html:
            return []
        titles = {HTML: "HTML", MARKUP: "Source"}
        if self._file_type() == "pdf" and self._has_renderer():
            titles = {PDF: "PDF"} | titles
        current = self.request.GET.get("view", "")
        current = current if current in titles else next(iter(titles))
        return [
            Link(title=title, url=self._url(view=name), is_current=name == current)
            for name, title in titles.items()
        ]

    def _file_type(self) -> str:
        document = self.preview.request
        return files.file_type(str(document.document_type)) if document else ""

    def _has_renderer(self) -> bool:
        return bool(self._file_type()) and files.has_renderer(self._file_type())

    def _file(self) -> ShownFile:
        assert self.preview.request  # there is HTML
        try:
            rendered = files.render_file(self.preview.request)
        except PreviewError as error:
            return ShownFile(pages=[], failure=describe_failure(error))
        count = rendered.output.pages or 0
        # The number in the query makes another URL of it: browsers follow no new fragment alone.
        numbers = map(str, range(1, min(count, MAX_PAGE_LINKS) + 1))
        pages = [
            Link(
                title=number,
                url=f"{self._url('preview-file', page=number)}#page={number}&navpanes=0",
            )
            for number in numbers
        ]
        return ShownFile(
            pages=pages if count > 1 else [],
            page_count=count,
            size=rendered.output.size,
            seconds=rendered.seconds,
        )

    def _shown(self, finding: Finding) -> ShownFinding:
        title = "Template"
        url = f"{self._url(view=MARKUP)}#line-{finding.rendered_line}"
        return ShownFinding(
            finding=finding,
            excerpts=[excerpt_of(title, location) for location in finding.locations],
            url=url if finding.rendered_line else "",
        )

    def _markup(self) -> list[tuple[int, str, str]]:
        """Return the lines of the HTML: number, text, and the severity of a problem in it."""
        severities: dict[int, str] = {}
        for finding in self.preview.findings:
            if severities.get(finding.rendered_line) != Severity.ERROR:
                severities[finding.rendered_line] = str(finding.severity)
        lines = self.preview.html.splitlines()[:MAX_LINES]
        return [
            (number, shorten(line), severities.get(number, ""))
            for number, line in enumerate(lines, start=1)
        ]

    def _other_hosts(self) -> list[str]:
        assert self.preview.request  # there is HTML
        return other_hosts(self.preview.request, self.request.get_host())
