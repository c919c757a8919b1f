"""Internal. Find the URLs that HTML loads: images, scripts, stylesheets, and URLs in CSS."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from django_docraptor.assets import css
from django_docraptor.preflight.parser import MAX_TAG_NAME_LENGTH, TolerantParser

_RESOURCES: Final[Mapping[str, tuple[str, ...]]] = {
    "img": ("src", "srcset"),
    "script": ("src",),
    "source": ("src", "srcset"),
    "iframe": ("src",),
    "embed": ("src",),
    "object": ("data",),
    "video": ("src", "poster"),
    "audio": ("src",),
    "track": ("src",),
    "image": ("href", "xlink:href"),
}
_LINKED: Final = frozenset({"stylesheet", "icon"})
# Maximum characters of a base URL (scheme and host matter); it is parsed for each resource.
MAX_BASE_LENGTH: Final = 300

Attributes = list[tuple[str, str | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A URL and its location.

    Args:
        in_css: whether it is in a style element or attribute.
        base: href of the preceding ``<base>``, truncated to ``MAX_BASE_LENGTH``; blank without one.
    """

    line: int
    column: int
    tag: str
    attribute: str
    url: str
    in_css: bool
    base: str

    def excerpt(self) -> str:
        """Return the shortened HTML around the URL."""
        url, tag = shorten_url(self.url), self.tag[:MAX_TAG_NAME_LENGTH]
        if not self.in_css:
            return f'<{tag} {self.attribute}="{url}">'
        if self.attribute:
            return f'<{tag} style="… url({url}) …">'
        return f"<style> with url({url})"


def shorten_url(url: str) -> str:
    """Shorten a URL for a message, without the query string, which may be signed."""
    url = url.strip()
    if url.lower().startswith(("http://", "https://")) and "?" in url:
        url = f"{url.partition('?')[0]}?…"
    return url if len(url) <= 120 else f"{url[:119]}…"


def visit_resources(html: str, callback: Callable[[Resource], None]) -> None:
    """Call ``callback`` for every resource in the HTML, in order."""
    parser = _ResourceParser(callback)
    parser.feed(html)
    parser.close()


class _ResourceParser(TolerantParser):
    def __init__(self, callback: Callable[[Resource], None]) -> None:
        super().__init__()
        self.callback = callback
        self.in_style = False
        self.base = ""

    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        self.in_style = tag == "style"
        if not attrs:
            return
        values = {name: value for name, value in attrs if value}
        if tag == "base":
            self.base = self.base or values.get("href", "").strip()[:MAX_BASE_LENGTH]
        for name, url in _resource_urls(tag, values):
            self._report(tag, name, url)
        if style := values.get("style"):
            for reference in css.references(style):
                self._report(tag, "style", reference.url, in_css=True)

    def handle_endtag(self, tag: str) -> None:
        if tag == "style":
            self.in_style = False

    def handle_data(self, data: str) -> None:
        if self.in_style:
            lines = start = 0
            for reference in css.references(data):
                lines += data.count("\n", start, reference.start)
                start = reference.start
                self._report("style", "", reference.url, in_css=True, lines=lines)

    def _report(
        self, tag: str, attribute: str, url: str, *, in_css: bool = False, lines: int = 0
    ) -> None:
        line, offset = self.getpos()
        resource = Resource(
            line=line + lines,
            column=0 if lines else offset + 1,
            tag=tag,
            attribute=attribute,
            url=url,
            in_css=in_css,
            base=self.base,
        )
        self.callback(resource)


def _resource_urls(tag: str, values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name in _RESOURCES.get(tag, ()):
        if name == "srcset":
            yield from ((name, url) for url in _srcset_urls(values.get(name, "")))
        elif name in values:
            yield name, values[name]
    if tag == "link" and _LINKED & set(values.get("rel", "").lower().split()):
        yield "href", values.get("href", "")
    if tag == "input" and values.get("type", "").lower() == "image":
        yield "src", values.get("src", "")


def _srcset_urls(srcset: str) -> Iterator[str]:
    """Yield the URLs of a srcset. Split at ", " only, because a data: URI contains commas."""
    for candidate in re.split(r",\s+", srcset.strip()):
        yield from candidate.split()[:1]
