"""Addresses of what HTML loads: images, scripts, stylesheets, and what their CSS loads."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from django_docraptor.assets import css
from django_docraptor.preflight.reading import MAX_TAG_SHOWN, Reader

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
# Characters of a base address that are kept: scheme and host. It is looked at for each resource.
MAX_BASE: Final = 300

Attributes = list[tuple[str, str | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One address, and where it stands.

    Args:
        in_css: whether it stands in a style element or attribute.
        base: the href of the ``<base>`` before it, cut at ``MAX_BASE``; blank without one.
    """

    line: int
    column: int
    tag: str
    attribute: str
    url: str
    in_css: bool
    base: str

    def shown(self) -> str:
        """How it stands in the HTML, shortened."""
        url, tag = shown(self.url), self.tag[:MAX_TAG_SHOWN]
        if not self.in_css:
            return f'<{tag} {self.attribute}="{url}">'
        if self.attribute:
            return f'<{tag} style="… url({url}) …">'
        return f"<style> with url({url})"


def shown(url: str) -> str:
    """The address for a message: short, and without the query of a full one: it may be signed."""
    url = url.strip()
    if url.lower().startswith(("http://", "https://")) and "?" in url:
        url = f"{url.partition('?')[0]}?…"
    return url if len(url) <= 120 else f"{url[:119]}…"


def feed(html: str, found: Callable[[Resource], None]) -> None:
    """Call ``found`` for every address in the HTML, in order."""
    parser = _ResourceParser(found)
    parser.feed(html)
    parser.close()


class _ResourceParser(Reader):
    def __init__(self, found: Callable[[Resource], None]) -> None:
        super().__init__()
        self.found = found
        self.in_style = False
        self.base = ""

    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        self.in_style = tag == "style"
        if not attrs:
            return
        values = {name: value for name, value in attrs if value}
        if tag == "base":
            self.base = self.base or values.get("href", "").strip()[:MAX_BASE]
        for name, url in _resource_urls(tag, values):
            self._tell(tag, name, url)
        if style := values.get("style"):
            for reference in css.references(style):
                self._tell(tag, "style", reference.url, in_css=True)

    def handle_endtag(self, tag: str) -> None:
        if tag == "style":
            self.in_style = False

    def handle_data(self, data: str) -> None:
        if self.in_style:
            lines = start = 0
            for found in css.references(data):
                lines += data.count("\n", start, found.start)
                start = found.start
                self._tell("style", "", found.url, in_css=True, lines=lines)

    def _tell(
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
        self.found(resource)


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
    """The addresses of a srcset: a data: address has commas of its own, so split at ", " only."""
    for candidate in re.split(r",\s+", srcset.strip()):
        yield from candidate.split()[:1]
