"""Internal. Decide which URLs of a document Prince loads: surely, perhaps, or never.

A document is refused only for what is surely loaded. The rules follow HTML's list of what loads,
for a printed page: no favicons, no media, no hints, no content for screens.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

# Elements whose content is text, or is never displayed.
INERT: Final = frozenset(
    {"template", "textarea", "title", "xmp", "iframe", "noembed", "noframes", "plaintext"}
)
# Elements whose content is displayed only if they themselves are not.
FALLBACK: Final = frozenset({"noscript", "video", "audio", "object", "canvas"})
# Elements that load a URL of their attributes.
LOADING: Final = frozenset(
    {"embed", "iframe", "image", "img", "input", "link", "object", "script", "source"}
)
# All elements that matter to what is loaded, beside those with a style attribute.
RELEVANT: Final = LOADING | INERT | FALLBACK | {"base", "style"}

_COMMENT: Final = re.compile(r"/\*.*?\*/", re.DOTALL)
_LAYER: Final = re.compile(r"layer\b(?:\([^)]*\))?\s*", re.IGNORECASE)
_MEDIA_QUERY: Final = re.compile(
    r"(?:(?P<prefix>not|only)\s+)?(?P<type>[a-z][a-z-]*)(?P<features>\s+and\b.*)?", re.DOTALL
)


class Loaded(IntEnum):
    """Whether a URL is loaded."""

    NEVER = 0
    PERHAPS = 1
    SURELY = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What the options of a document tell about how it is rendered.

    Args:
        javascript: whether scripts are run.
        media: the type of media whose styles apply.
        iframes: whether frames are loaded.
        author_style: whether the document's own styles apply.
    """

    javascript: bool = False
    media: str = "print"
    iframes: bool = False
    author_style: bool = True

    def is_inert(self, tag: str) -> bool:
        """Return whether an element's content is not displayed."""
        return tag in INERT or (tag == "noscript" and self.javascript)


def resource_urls(
    tag: str, values: Mapping[str, str], engine: Engine
) -> Iterator[tuple[str, str, Loaded]]:
    """Yield attribute, URL and whether it is loaded, for the URLs of an element."""
    if tag not in LOADING:
        return
    match tag:
        case "img":
            yield "src", values.get("src", ""), Loaded.SURELY
            yield from _candidates(values)
        case "source":  # of a picture; those of video and audio have src
            yield from _candidates(values)
        case "image":
            for name in ("href", "xlink:href"):
                yield name, values.get(name, ""), Loaded.SURELY
        case "input" if values.get("type", "").lower() == "image":
            yield "src", values.get("src", ""), Loaded.SURELY
        case "object":
            yield "data", values.get("data", ""), _of_plugin(values)
        case "embed":
            yield "src", values.get("src", ""), min(_of_plugin(values), Loaded.PERHAPS)
        case "iframe" if "srcdoc" not in values:
            loaded = Loaded.SURELY if engine.iframes else Loaded.PERHAPS
            yield "src", values.get("src", ""), loaded
        case "script":
            yield "src", values.get("src", ""), _of_script(values, engine)
        case "link":
            yield "href", values.get("href", ""), _of_link(values, engine)


def _candidates(values: Mapping[str, str]) -> Iterator[tuple[str, str, Loaded]]:
    """Yield the URLs of a srcset. Split at ", " only, because a data: URI contains commas."""
    for candidate in re.split(r",\s+", values.get("srcset", "").strip()):
        for url in candidate.split()[:1]:
            yield "srcset", url, Loaded.PERHAPS


def _of_plugin(values: Mapping[str, str]) -> Loaded:
    """Decide for an image or page that is embedded; films and the like are not loaded."""
    kind = values.get("type", "").strip().lower()
    shown = not kind or kind.startswith("image/") or "html" in kind or "svg" in kind
    return Loaded.SURELY if shown else Loaded.NEVER


def _of_script(values: Mapping[str, str], engine: Engine) -> Loaded:
    kind = values.get("type", "").partition(";")[0].strip().lower()
    if not engine.javascript:
        return Loaded.NEVER
    if kind == "module" or "nomodule" in values:
        return Loaded.PERHAPS
    is_script = not kind or kind.endswith(("javascript", "ecmascript"))
    return Loaded.SURELY if is_script else Loaded.NEVER


def _of_link(values: Mapping[str, str], engine: Engine) -> Loaded:
    """Decide for a link: of all that HTML knows, only stylesheets are loaded in print."""
    relations = set(values.get("rel", "").lower().split())
    if "stylesheet" not in relations:
        return Loaded.NEVER
    if relations & {"alternate"} or "disabled" in values:
        return min(Loaded.PERHAPS, of_style(values, engine))
    return of_style(values, engine)


def of_style(values: Mapping[str, str], engine: Engine) -> Loaded:
    """Decide for a stylesheet, by the attributes of its ``<style>`` or ``<link>``."""
    kind = values.get("type", "").partition(";")[0].strip().lower()
    if kind not in ("", "text/css") or not engine.author_style:
        return Loaded.NEVER
    return of_media(values.get("media", ""), engine)


def of_rule(name: str, conditions: str, engine: Engine) -> Loaded:
    """Decide for the content of a conditional rule of CSS, such as ``@media``."""
    return of_media(conditions, engine) if name == "media" else Loaded.PERHAPS


def of_import(conditions: str, engine: Engine) -> Loaded:
    """Decide for an ``@import``, by what follows its URL."""
    return of_media(_LAYER.sub("", conditions, count=1), engine)


def of_media(queries: str, engine: Engine) -> Loaded:
    """Decide for content of these media queries. Features, such as the width, are not known."""
    text = _COMMENT.sub(" ", queries).strip().lower()
    if not text:
        return Loaded.SURELY
    return max(_of_query(query.strip(), engine.media) for query in text.split(","))


def _of_query(query: str, media: str) -> Loaded:
    found = _MEDIA_QUERY.fullmatch(query)
    if found is None:
        return Loaded.PERHAPS
    is_type = found["type"] in ("all", media)
    if found["prefix"] == "not":
        if found["features"] and is_type:
            return Loaded.PERHAPS
        return Loaded.NEVER if is_type else Loaded.SURELY
    if found["features"] and is_type:
        return Loaded.PERHAPS
    return Loaded.SURELY if is_type else Loaded.NEVER
