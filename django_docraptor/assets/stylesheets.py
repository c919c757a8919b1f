"""One stylesheet of many: imports written out, fonts and images embedded."""

import re
from base64 import b64encode
from urllib.parse import urlsplit

from django_docraptor.assets import css, names
from django_docraptor.assets.budget import Budget
from django_docraptor.assets.errors import AssetError
from django_docraptor.assets.mime import SVG, type_of
from django_docraptor.assets.sources import static_file

MAX_DEPTH = 10
_CHARSET = re.compile(r'@charset\s+"[^"]*"\s*;', re.IGNORECASE)


def flatten(name: str, budget: Budget) -> str:
    """The static stylesheet as CSS that needs no other file, and that fits into ``<style>``.

    Addresses of other hosts stay as they are. Raises AssetError, also for a missing font or image.
    """
    flattener = _Flattener(budget)
    body = flattener.read(name, above=())
    # In CSS "<\/" means "</", but it does not end the <style> element.
    return "\n".join([*flattener.outside, body]).replace("</", "<\\/")


class _Flattener:
    """Writes one stylesheet out."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        #: ``@import`` rules of other hosts: they count at the top of a stylesheet only.
        self.outside: list[str] = []

    def read(self, name: str, above: tuple[str, ...]) -> str:
        """The CSS of a file, written out.

        Args:
            above: the files whose imports led here.
        """
        if len(above) > MAX_DEPTH:
            raise AssetError(f"{name!r} is imported more than {MAX_DEPTH} levels deep: flatten it.")
        text = self._text(name)
        return css.replace(text, lambda found: self._written_out(found, name, (*above, name)))

    def _text(self, name: str) -> str:
        try:
            text = static_file(name).read(self.budget).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise AssetError(f"{name!r} is not UTF-8: save it in that encoding.") from error
        return _CHARSET.sub("", text, count=1)

    def _written_out(self, found: css.Reference, name: str, above: tuple[str, ...]) -> str | None:
        try:
            target = names.from_stylesheet(name, found.url)
            if found.is_import:
                return self._import(found, target, above)
            return f'url("{self._embedded(target, found.url)}")' if target else None
        except AssetError as error:
            raise AssetError(f"in {name!r}: {error}") from error

    def _import(self, found: css.Reference, target: str, above: tuple[str, ...]) -> str:
        conditions = found.conditions
        if not target:
            self.outside.append(f'@import url("{_quoted(found.url)}") {conditions};')
            return ""
        if conditions.lower().startswith(("layer", "supports")):
            raise AssetError(
                f"@import {target!r} {conditions}: layers and supports() cannot be kept."
            )
        if target in above:  # CSS ignores an import of what is being read already
            return ""
        text = self.read(target, above)
        return f"@media {conditions} {{\n{text}\n}}\n" if conditions else f"{text}\n"

    def _embedded(self, target: str, url: str) -> str:
        content = static_file(target).read(self.budget)
        kind = type_of(target, content)
        # A part of an SVG sprite; "?#iefix" of fonts means nothing here.
        fragment = urlsplit(url).fragment if kind == SVG else ""
        anchor = f"#{_quoted(fragment)}" if fragment else ""
        return f"data:{kind};base64,{b64encode(content).decode('ascii')}{anchor}"


def _quoted(text: str) -> str:
    return re.sub(r'["\\\n\r\f]', lambda found: f"\\{ord(found.group()):x} ", text)
