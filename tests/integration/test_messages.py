"""The catalogues are complete: every text, every placeholder, every plural form."""

import re
from collections import Counter
from gettext import GNUTranslations, c2py
from typing import Any

import pytest
from babel.messages.catalog import Catalog

from tests.messages import (
    LANGUAGES,
    LOCALE,
    catalogue_path,
    extract,
    read_catalogue,
    strings,
    texts,
    untranslated,
)

pytestmark = pytest.mark.once

PLACEHOLDER = re.compile(r"%\([a-z_]+\)[a-z0-9.]*[a-z]|\{[a-z_]*\}|%%|<[^>]+>")
# Words that stay as they are in every language: names, settings, commands, markup.
NAMES = re.compile(r"\b(?:[A-Z]+_[A-Z_]+|docraptor_[a-z]+|manage\.py|DocRaptor|Celery)\b")


@pytest.fixture(scope="module", params=LANGUAGES, name="catalogue")
def _catalogue(request: pytest.FixtureRequest) -> Catalog:
    return read_catalogue(request.param)


def originals(message: Any) -> tuple[str, ...]:
    """Return a text, and its plural form if it has one."""
    return message.id if isinstance(message.id, tuple) else (message.id,)


def exact_forms(catalogue: Catalog) -> set[int]:
    """Return the plural forms that each stand for exactly one number, such as "one job"."""
    counts = Counter(map(c2py(catalogue.plural_expr), range(1000)))
    return {form for form, count in counts.items() if count == 1}


def test_no_other_languages() -> None:
    """Each directory is one that is tested."""
    assert {path.name for path in LOCALE.iterdir()} == set(LANGUAGES)


@pytest.mark.services("gettext")
def test_every_text_is_in_the_catalogues() -> None:
    """None is missing and none is left over: else, run ``make messages``."""
    current_texts = texts(extract())
    assert len(current_texts) > 300
    for language in LANGUAGES:
        assert texts(read_catalogue(language)) == current_texts, language


def test_every_text_is_translated(catalogue: Catalog) -> None:
    """Nothing is empty, unsure, or only in one of its plural forms."""
    assert untranslated(catalogue) == []
    counts = {len(strings(message)) for message in catalogue if isinstance(message.id, tuple)}
    assert counts == {catalogue.num_plurals}


def test_placeholders_are_those_of_the_text(catalogue: Catalog) -> None:
    """Each translation has the values and the markup of its text, and its names."""
    exact = exact_forms(catalogue)
    for message in catalogue:
        if not message.id:
            continue
        wanted = sorted(PLACEHOLDER.findall(originals(message)[-1]))
        for form, text in enumerate(strings(message)):
            found = sorted(PLACEHOLDER.findall(text))
            # "One job" may leave the number out, as the English text may.
            optional = isinstance(message.id, tuple) and form in exact
            assert found == wanted or (optional and set(found) <= set(wanted)), text
            names = set(NAMES.findall(originals(message)[-1]))
            assert names <= set(NAMES.findall(text)), text


def test_white_space_is_that_of_the_text(catalogue: Catalog) -> None:
    """A text that is joined to another keeps the space or the line break between them."""
    for message in catalogue:
        for text in strings(message) if message.id else ():
            original = originals(message)[0]
            for strip in (str.lstrip, str.rstrip):
                assert (strip(text) == text) is (strip(original) == original), text


@pytest.mark.parametrize("language", LANGUAGES)
def test_compiled_catalogue_is_that_of_the_texts(language: str) -> None:
    """Django reads the compiled one: else, run ``make messages``."""
    with catalogue_path(language).with_suffix(".mo").open("rb") as file:
        compiled = GNUTranslations(file)
    for message in read_catalogue(language):
        if not message.id:
            continue
        if isinstance(message.id, tuple):
            assert compiled.ngettext(*message.id, 1) in strings(message)
        elif message.context:
            assert compiled.pgettext(message.context, message.id) == message.string
        else:
            assert compiled.gettext(message.id) == message.string
