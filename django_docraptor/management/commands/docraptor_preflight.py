"""``manage.py docraptor_preflight``: what would fail at DocRaptor, found while it is free."""

import json
import os
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from django_docraptor.assets import AssetError
from django_docraptor.conf import conf
from django_docraptor.documents import QuerysetDocument
from django_docraptor.management.objects import (
    KEYS_AT_ONCE,
    DocumentClass,
    find_document,
    find_sources,
    read_params,
    rows_of,
)
from django_docraptor.payloads import DocumentRequest, merge_options
from django_docraptor.preflight import Problem, Severity, find_problems
from django_docraptor.preflight.templates import Place, file_of, places

# Objects that a line names before it only counts them.
MOST_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong with the document of one object.

    ``places`` are in templates; ``rendered_line`` is in the HTML, 0 where there is none.
    """

    source: str
    severity: Severity
    message: str
    places: tuple[Place, ...]
    rendered_line: int = 0

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "source": self.source,
            "severity": self.severity,
            "message": self.message,
            "rendered_line": self.rendered_line,
            "places": [{"file": place.file, "line": place.line} for place in self.places],
        }

    def __str__(self) -> str:
        return f"{', '.join(map(_short, self.places))}: {self.severity}: {self.message}"


class Command(BaseCommand):
    """Render documents as a worker would, and say what would fail. Nothing is stored or sent."""

    help = "Renders a document of each object and tells what would fail at DocRaptor."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Define the options."""
        parser.add_argument("label", metavar="LABEL", help="the document: <app label>.<class>")
        parser.add_argument("keys", metavar="PK", nargs="*", help="primary keys of its objects")
        parser.add_argument("--all", action="store_true", help="all objects, the newest first")
        parser.add_argument("--limit", metavar="N", type=int, help="with --all: at most so many")
        parser.add_argument(
            "--strict",
            action="store_true",
            help="look for tags that are not closed, too, and let warnings fail",
        )
        parser.add_argument("--params", metavar="JSON", default="{}", help="its parameters")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Look at each document, then tell. Raises CommandError if anything would fail."""
        document = find_document(options["label"])
        sources = choose(document, options["keys"], every=options["all"], limit=options["limit"])
        params = read_params(options["params"])
        checked, findings = 0, list[Finding]()
        for source in sources:
            checked += 1
            findings += inspect(document, source, params, strict=options["strict"])
        if options["json"]:
            told = [finding.as_json() for finding in findings]
            said = {"document": document.label, "checked": checked, "findings": told}
            self.stdout.write(json.dumps(said, indent=2))
        else:
            self.tell(checked, findings)
        grave = [one for one in findings if options["strict"] or one.severity == Severity.ERROR]
        if grave:
            failing = len({finding.source for finding in grave})
            raise CommandError(f"{failing} of {checked} would fail.")

    def tell(self, checked: int, findings: list[Finding]) -> None:
        """A line for each finding: the same one in many documents is told once."""
        sources: dict[str, list[str]] = {}
        for finding in findings:
            sources.setdefault(str(finding), []).append(finding.source)
        for text, found_in in sources.items():
            self.stdout.write(f"{text}{_of(found_in)}")
        if not findings:
            many = "document" if checked == 1 else "documents"
            self.stdout.write(self.style.SUCCESS(f"{checked} {many}: nothing would fail."))


def choose(
    document: DocumentClass, keys: list[str], *, every: bool, limit: int | None
) -> Iterable[Any]:
    """What to make documents of; a report is made once, over all. Raises CommandError."""
    if (limit is not None and not every) or (every and keys):
        raise CommandError("Give primary keys, or --all with or without --limit.")
    if limit is not None and limit < 1:
        raise CommandError(f"--limit is {limit}: give a number from 1.")
    is_report = issubclass(document, QuerysetDocument)
    if every and document.model is not None:
        rows = document.model._default_manager.order_by("-pk")[:limit]
        return [rows] if is_report else rows.iterator(chunk_size=KEYS_AT_ONCE)
    sources = find_sources(document, keys)
    return [rows_of(sources)] if is_report else sources


def inspect(
    document: DocumentClass, source: Any, params: dict[str, Any], *, strict: bool
) -> Iterator[Finding]:
    """What is wrong with the document of one object."""
    name = str(getattr(source, "pk", "")) or "all"
    try:
        request = _request(document, source, params)
    except Exception as error:  # noqa: BLE001 - a template raises whatever the project's code raises
        yield Finding(
            source=name,
            severity=Severity.ERROR,
            message=_said(error),
            places=(_place(document, error),),
        )
        return
    problems = find_problems(
        request.content,
        baseurl=request.prince_options.baseurl or "",
        strict="html" if strict else request.strict or "",
        max_bytes=conf.max_content_bytes,
        allow_private=False,  # the sandbox's leave is no help at the real service
        template=document.template_name,
    )
    yield from (_finding(document, name, problem) for problem in problems)


def _request(document: DocumentClass, source: Any, params: dict[str, Any]) -> DocumentRequest:
    order = document.order(source, params=params, snapshot=True)
    return DocumentRequest.from_options(
        name=order.name,
        document_type=order.document_type,
        content=order.content,
        options=merge_options(conf.defaults, order.options),
    )


def _finding(document: DocumentClass, source: str, problem: Problem) -> Finding:
    found = places(document.template_name, problem) or [Place(file_of(document.template_name), 0)]
    return Finding(
        source=source,
        severity=problem.severity,
        message=problem.message,
        places=tuple(found),
        rendered_line=problem.line,
    )


def _said(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return " ".join(error.messages)
    return str(error) if isinstance(error, AssetError) else f"{type(error).__name__}: {error}"


def _place(document: DocumentClass, error: Exception) -> Place:
    """Where in a template an error was raised, as far as the error knows."""
    if isinstance(error, AssetError) and error.template:
        return Place(file_of(error.template), error.line)
    known = getattr(error, "template_debug", {})  # with the engine's debug option
    file = known.get("name") or file_of(document.template_name)
    return Place(str(file), int(known.get("line", 0)))


def _short(place: Place) -> str:
    """From here, if it is below: a path that can be clicked in most terminals."""
    return str(place).removeprefix(f"{Path.cwd()}{os.sep}")


def _of(sources: list[str]) -> str:
    """The objects, for the end of a line."""
    named = ", ".join(sources[:MOST_NAMED])
    more = len(sources) - MOST_NAMED
    return f" ({named} and {more} more)" if more > 0 else f" ({named})"
