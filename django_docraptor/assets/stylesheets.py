"""Internal. Flatten stylesheets: inline imports, embed fonts and images."""

import re
from base64 import b64encode
from urllib.parse import urlsplit

from django_docraptor.assets import css, paths
from django_docraptor.assets.budget import Budget
from django_docraptor.assets.errors import AssetError
from django_docraptor.assets.files import find_static_file
from django_docraptor.assets.mime import SVG, guess_mime_type

MAX_DEPTH = 10
_CHARSET = re.compile(r'@charset\s+"[^"]*"\s*;', re.IGNORECASE)


def flatten_stylesheet(name: str, budget: Budget) -> str:
    """Return a static stylesheet as self-contained CSS, safe inside ``<style>``.

    External URLs are kept.

    Raises:
        AssetError: the stylesheet, or a font or image that it uses, cannot be read.
    """
    flattener = _Flattener(budget)
    body = flattener.flatten(name, import_chain=())
    # In CSS "<\/" means "</", but it does not end the <style> element.
    return "\n".join([*flattener.external_imports, body]).replace("</", "<\\/")


class _Flattener:
    """Flattens one stylesheet."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        #: ``@import`` rules for external URLs, valid only at the top of a stylesheet.
        self.external_imports: list[str] = []

    def flatten(self, name: str, import_chain: tuple[str, ...]) -> str:
        """Return the flattened CSS of a file.

        Args:
            name: path of the static file.
            import_chain: the files that import it.
        """
        if len(import_chain) > MAX_DEPTH:
            raise AssetError(f"{name!r} is imported more than {MAX_DEPTH} levels deep.")
        chain = (*import_chain, name)
        return css.replace(
            self._read(name), lambda reference: self._replacement(reference, name, chain)
        )

    def _read(self, name: str) -> str:
        try:
            text = find_static_file(name).read(self.budget).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise AssetError(f"{name!r} is not UTF-8: save it as UTF-8.") from error
        return _CHARSET.sub("", text, count=1)

    def _replacement(
        self, reference: css.Reference, name: str, import_chain: tuple[str, ...]
    ) -> str | None:
        try:
            target = paths.resolve_stylesheet_url(name, reference.url)
            if reference.is_import:
                return self._import(reference, target, import_chain)
            return f'url("{self._data_uri(target, reference.url)}")' if target else None
        except AssetError as error:
            raise AssetError(f"in {name!r}: {error}") from error

    def _import(self, reference: css.Reference, target: str, import_chain: tuple[str, ...]) -> str:
        conditions = reference.conditions
        if not target:
            self.external_imports.append(f'@import url("{_escape(reference.url)}") {conditions};')
            return ""
        if conditions.lower().startswith(("layer", "supports")):
            raise AssetError(
                f"@import {target!r} {conditions}: layer and supports() conditions are not "
                "supported."
            )
        if target in import_chain:  # CSS ignores circular imports
            return ""
        text = self.flatten(target, import_chain)
        return f"@media {conditions} {{\n{text}\n}}\n" if conditions else f"{text}\n"

    def _data_uri(self, target: str, url: str) -> str:
        content = find_static_file(target).read(self.budget)
        mime_type = guess_mime_type(target, content)
        # Keep the fragment of an SVG sprite; "?#iefix" of fonts has no effect here.
        fragment = urlsplit(url).fragment if mime_type == SVG else ""
        anchor = f"#{_escape(fragment)}" if fragment else ""
        return f"data:{mime_type};base64,{b64encode(content).decode('ascii')}{anchor}"


def _escape(text: str) -> str:
    return re.sub(r'["\\\n\r\f]', lambda match: f"\\{ord(match.group()):x} ", text)
