"""The texts that people read, in catalogues of their languages: extract, merge and compile them.

``make messages`` brings the catalogues up to date with the code. Texts that are new or have changed
are empty in them, for a translator. Needs gettext.
"""

import shutil
import sys
from contextlib import chdir
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import django
from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.conf import settings
from django.core.management import call_command

PACKAGE = Path(__file__).parents[1] / "django_docraptor"
LOCALE = PACKAGE / "locale"
LANGUAGES = ("ar", "de", "es", "fr", "it", "ja", "pl", "pt_BR", "zh_Hans")
WIDTH = 100
# The headers of a new catalogue. Times of today would change the files for no reason.
MADE_AT = datetime(2026, 11, 27, tzinfo=UTC)
NAMES = {
    "project": "django-docraptor",
    "version": "0.1",
    "msgid_bugs_address": "-",
    "last_translator": "django-docraptor",
    "language_team": "django-docraptor",
}


def catalogue_path(language: str) -> Path:
    """Return the path of a language's catalogue."""
    return LOCALE / language / "LC_MESSAGES" / "django.po"


def read_catalogue(language: str) -> Catalog:
    """Return a language's catalogue."""
    with catalogue_path(language).open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


def extract() -> Catalog:
    """Return the texts of the package's code and templates."""
    with TemporaryDirectory() as directory:
        package = Path(directory, PACKAGE.name)
        shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("locale", "__pycache__"))
        (package / "locale").mkdir()
        with chdir(package):
            call_command("makemessages", locale=["en"], verbosity=0)
        with (package / "locale/en/LC_MESSAGES/django.po").open("rb") as file:
            return read_po(file)


def texts(catalogue: Catalog) -> set[Any]:
    """Return the texts to translate: each with its plural form and context."""
    return {(message.id, message.context) for message in catalogue if message.id}


def strings(message: Message) -> tuple[str, ...]:
    """Return a text's translations: one for each plural form."""
    found: Any = message.string if isinstance(message.string, tuple) else (message.string,)
    return tuple(found)


def untranslated(catalogue: Catalog) -> list[Any]:
    """Return the texts without a translation, or without one of its plural forms."""
    return [m.id for m in catalogue if m.id and (m.fuzzy or not all(strings(m)))]


def update(language: str, template: Catalog) -> list[Any]:
    """Bring a language's catalogue up to date, compile it, and return what is untranslated."""
    path = catalogue_path(language)
    path.parent.mkdir(parents=True, exist_ok=True)
    catalogue = Catalog(locale=language, creation_date=MADE_AT, revision_date=MADE_AT, **NAMES)
    if path.exists():
        catalogue = read_catalogue(language)
    catalogue.update(template, no_fuzzy_matching=True, update_creation_date=False)
    catalogue.obsolete.clear()
    catalogue.fuzzy = False  # its header
    catalogue.header_comment = f"# django-docraptor in {catalogue.locale}."
    with path.open("wb") as file:
        write_po(file, catalogue, width=WIDTH, include_lineno=False)
    with path.with_suffix(".mo").open("wb") as file:
        write_mo(file, read_catalogue(language))
    return untranslated(catalogue)


def main() -> int:
    """Bring the catalogues up to date; return 1 if texts are left to translate."""
    settings.configure(USE_I18N=True)
    django.setup()
    template = extract()
    left = {language: update(language, template) for language in LANGUAGES}
    for language, missing in left.items():
        sys.stdout.write(f"{language}: {len(texts(template))} texts, {len(missing)} to translate\n")
    return 1 if any(left.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
