"""``manage.py docraptor_preflight``: find what would fail at DocRaptor before it costs anything."""

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
from django_docraptor.management.lookups import (
    QUERY_CHUNK_SIZE,
    DocumentClass,
    find_document,
    find_sources,
    parse_params,
    queryset_of,
)
from django_docraptor.payloads import DocumentRequest, merge_options
from django_docraptor.preflight import Problem, Severity, find_problems, options_of
from django_docraptor.preflight.locations import Location, find_locations, template_path

# Maximum number of objects listed on a line.
MAX_SOURCES_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One problem with the document of one object.

    ``locations`` are in templates; ``rendered_line`` is in the HTML, or 0.
    """

    source: str
    severity: Severity
    message: str
    locations: tuple[Location, ...]
    rendered_line: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the finding as JSON-serializable data."""
        return {
            "source": self.source,
            "severity": self.severity,
            "message": self.message,
            "rendered_line": self.rendered_line,
            "locations": [
                {"file": location.file, "line": location.line} for location in self.locations
            ],
        }

    def __str__(self) -> str:
        return f"{', '.join(map(_relative_path, self.locations))}: {self.severity}: {self.message}"


class Command(BaseCommand):
    """Render documents as a worker would, and report problems. Nothing is stored or sent."""

    help = (
        "Render a document for each object and report what would fail at DocRaptor. Nothing is "
        "sent or stored."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the command's arguments."""
        parser.add_argument(
            "label", metavar="LABEL", help="label of the document, such as shop.InvoicePDF"
        )
        parser.add_argument("keys", metavar="PK", nargs="*", help="primary keys of the objects")
        parser.add_argument(
            "--all", action="store_true", help="all objects, highest primary key first"
        )
        parser.add_argument("--limit", metavar="N", type=int, help="with --all: at most N objects")
        parser.add_argument(
            "--strict",
            action="store_true",
            help="also report unclosed tags, and treat warnings as errors",
        )
        parser.add_argument(
            "--params",
            metavar="JSON",
            default="{}",
            help="the document's parameters, as a JSON object",
        )
        parser.add_argument("--json", action="store_true", help="print the findings as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Inspect each document and print the findings.

        Raises:
            CommandError: a document would fail.
        """
        document = find_document(options["label"])
        if document._docraptor_has_page():
            raise CommandError(
                f"{document.label} is made of a page (get_url()), which is not fetched here. Its "
                "URL is checked when the document is enqueued."
            )
        sources = select_sources(
            document, options["keys"], all_objects=options["all"], limit=options["limit"]
        )
        params = parse_params(options["params"])
        checked, findings = 0, list[Finding]()
        for source in sources:
            checked += 1
            findings += inspect_document(document, source, params, strict=options["strict"])
        if options["json"]:
            findings_json = [finding.to_json() for finding in findings]
            report = {"document": document.label, "checked": checked, "findings": findings_json}
            self.stdout.write(json.dumps(report, indent=2))
        else:
            self.print_findings(checked, findings)
        failed_sources = {
            finding.source
            for finding in findings
            if options["strict"] or finding.severity == Severity.ERROR
        }
        if failed_sources:
            raise CommandError(f"{len(failed_sources)} of {checked} documents would fail.")

    def print_findings(self, checked: int, findings: list[Finding]) -> None:
        """Print one line per finding, merging equal findings of several documents."""
        sources: dict[str, list[str]] = {}
        for finding in findings:
            sources.setdefault(str(finding), []).append(finding.source)
        for text, found_in in sources.items():
            self.stdout.write(f"{text}{_sources_suffix(found_in)}")
        if not findings:
            documents = "document" if checked == 1 else "documents"
            self.stdout.write(
                self.style.SUCCESS(f"{checked} {documents} checked: no problems found.")
            )


def select_sources(
    document: DocumentClass, keys: list[str], *, all_objects: bool, limit: int | None
) -> Iterable[Any]:
    """Return the sources to render; a report is rendered once for all of them.

    Raises:
        CommandError: the arguments contradict each other, or an object does not exist.
    """
    if (limit is not None and not all_objects) or (all_objects and keys):
        raise CommandError("Give either primary keys or --all; --limit requires --all.")
    if limit is not None and limit < 1:
        raise CommandError("--limit must be at least 1.")
    is_report = issubclass(document, QuerysetDocument)
    if all_objects and document.model is not None:
        rows = document.model._default_manager.order_by("-pk")[:limit]
        return [rows] if is_report else rows.iterator(chunk_size=QUERY_CHUNK_SIZE)
    sources = find_sources(document, keys)
    return [queryset_of(sources)] if is_report else sources


def inspect_document(
    document: DocumentClass, source: Any, params: dict[str, Any], *, strict: bool
) -> Iterator[Finding]:
    """Yield the problems with one object's document."""
    name = str(getattr(source, "pk", "")) or "all"
    try:
        request = _request(document, source, params)
    except Exception as error:  # noqa: BLE001 - a template raises whatever the project's code raises
        yield Finding(
            source=name,
            severity=Severity.ERROR,
            message=_error_message(error),
            locations=(_error_location(document, error),),
        )
        return
    options = options_of(request) | ({"strict": "html"} if strict else {})
    problems = find_problems(
        request.content,
        **options,
        ignore=document.preflight_ignore,
        max_bytes=conf.max_content_bytes,
        allow_private=False,  # private hosts that the sandbox allows fail at DocRaptor
        template=document.template_name,
    )
    yield from (_finding(document, name, problem) for problem in problems)


def _request(document: DocumentClass, source: Any, params: dict[str, Any]) -> DocumentRequest:
    spec = document.spec(source, params=params, snapshot=True)
    return DocumentRequest.from_options(
        name=spec.name,
        document_type=spec.document_type,
        content=spec.content,
        options=merge_options(conf.defaults, spec.options),
    )


def _finding(document: DocumentClass, source: str, problem: Problem) -> Finding:
    found = find_locations(document.template_name, problem)
    found = found or [Location(template_path(document.template_name), 0)]
    return Finding(
        source=source,
        severity=problem.severity,
        message=problem.message,
        locations=tuple(found),
        rendered_line=problem.line,
    )


def _error_message(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return " ".join(error.messages)
    return str(error) if isinstance(error, AssetError) else f"{type(error).__name__}: {error}"


def _error_location(document: DocumentClass, error: Exception) -> Location:
    """Return the template location of an error, if it is known."""
    if isinstance(error, AssetError) and error.template:
        return Location(template_path(error.template), error.line)
    debug = getattr(error, "template_debug", {})  # with the engine's debug option
    file = debug.get("name") or template_path(document.template_name)
    return Location(str(file), int(debug.get("line", 0)))


def _relative_path(location: Location) -> str:
    """Return the path relative to the working directory if possible.

    Terminals make it clickable.
    """
    return str(location).removeprefix(f"{Path.cwd()}{os.sep}")


def _sources_suffix(sources: list[str]) -> str:
    """Return the list of objects that ends a line."""
    shown = ", ".join(sources[:MAX_SOURCES_SHOWN])
    more = len(sources) - MAX_SOURCES_SHOWN
    return f" ({shown} and {more} more)" if more > 0 else f" ({shown})"
