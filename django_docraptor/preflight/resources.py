"""Internal. Find the URLs that HTML loads: images, scripts, stylesheets, and URLs in CSS."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from django_docraptor.assets import css
from django_docraptor.preflight import skimming
from django_docraptor.preflight.loading import (
    FALLBACK,
    Engine,
    Loaded,
    of_import,
    of_rule,
    of_style,
    resource_urls,
)
from django_docraptor.preflight.parser import MAX_TAG_NAME_LENGTH, TolerantParser

# Maximum characters of a base URL (scheme and host matter); it is parsed for each resource.
MAX_BASE_LENGTH: Final = 300

Attributes = list[tuple[str, str | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A URL that is loaded, and its location.

    Args:
        is_certain: whether it is surely loaded; if not, it depends on what is not known here.
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
    is_certain: bool

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


def visit_resources(html: str, callback: Callable[[Resource], None], engine: Engine) -> None:
    """Call ``callback`` for every resource that the HTML loads, in order."""
    skimming.read_relevant(_ResourceParser(callback, engine), html)


class _ResourceParser(TolerantParser):
    def __init__(self, callback: Callable[[Resource], None], engine: Engine) -> None:
        super().__init__()
        self.callback = callback
        self.engine = engine
        #: Whether the current style element applies; None outside of one.
        self.style: Loaded | None = None
        self.base = ""
        #: The open element whose content is not displayed, and how many of it are nested.
        self.inert, self.depth = "", 0
        #: Numbers of open elements whose content may not be displayed.
        self.fallbacks: Counter[str] = Counter()

    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        if self.inert:
            self.depth += tag == self.inert == "template"
            return
        # The first of two attributes of one name counts.
        values = {name: value or "" for name, value in reversed(attrs)}
        self.style = of_style(values, self.engine) if tag == "style" else None
        if attrs:
            self._visit_attributes(tag, values)
        if self.engine.is_inert(tag):
            self.inert, self.depth = tag, 1
        elif tag in FALLBACK:
            self.fallbacks[tag] += 1

    def handle_endtag(self, tag: str) -> None:
        self.style = None
        if self.inert:
            self.depth -= tag == self.inert
            self.inert = self.inert if self.depth else ""
        elif self.fallbacks[tag] > 1:
            self.fallbacks[tag] -= 1
        else:
            del self.fallbacks[tag]

    def handle_data(self, data: str) -> None:
        if self.style and not self.inert:
            lines = start = 0
            for reference in css.references(data, self._rank_rule):
                lines += data.count("\n", start, reference.start)
                start = reference.start
                imported = of_import(reference.conditions, self.engine)
                loaded = min(self.style, reference.rank, imported)
                self._report("style", "", reference.url, loaded, in_css=True, lines=lines)

    def _visit_attributes(self, tag: str, values: dict[str, str]) -> None:
        if tag == "base":
            self.base = self.base or values.get("href", "").strip()[:MAX_BASE_LENGTH]
        for name, url, loaded in resource_urls(tag, values, self.engine):
            self._report(tag, name, url, loaded)
        if (style := values.get("style")) and self.engine.author_style:
            for reference in css.references(style):
                self._report(tag, "style", reference.url, Loaded.SURELY, in_css=True)

    def _rank_rule(self, name: str, conditions: str) -> int:
        return of_rule(name, conditions, self.engine)

    def _report(
        self,
        tag: str,
        attribute: str,
        url: str,
        loaded: int,
        *,
        in_css: bool = False,
        lines: int = 0,
    ) -> None:
        if not url or loaded == Loaded.NEVER:
            return
        line, offset = self.getpos()
        resource = Resource(
            line=line + lines,
            column=0 if lines else offset + 1,
            tag=tag,
            attribute=attribute,
            url=url,
            in_css=in_css,
            base=self.base,
            is_certain=loaded >= Loaded.SURELY and not self.fallbacks,
        )
        self.callback(resource)
