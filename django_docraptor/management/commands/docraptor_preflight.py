"""``manage.py docraptor_preflight``: find what would fail at DocRaptor before it costs anything."""

import json
from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

from django.core.management.base import CommandError

from django_docraptor.documents import QuerysetDocument
from django_docraptor.documents.inspection import Finding, inspect_document
from django_docraptor.management.lookups import (
    QUERY_CHUNK_SIZE,
    DocumentClass,
    find_document,
    find_sources,
    parse_params,
    queryset_of,
)
from django_docraptor.management.tables import TablesCommand
from django_docraptor.preflight import Severity
from django_docraptor.preflight.locations import relative_path

# Maximum number of objects listed on a line.
MAX_SOURCES_SHOWN = 5


class Command(TablesCommand):
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
            sources.setdefault(finding_line(finding), []).append(finding.source)
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


def finding_line(finding: Finding) -> str:
    """Return the line about a finding, without its object."""
    places = ", ".join(map(relative_path, finding.locations))
    return f"{places}: {finding.severity}: {finding.message}"


def _sources_suffix(sources: list[str]) -> str:
    """Return the list of objects that ends a line."""
    shown = ", ".join(sources[:MAX_SOURCES_SHOWN])
    more = len(sources) - MAX_SOURCES_SHOWN
    return f" ({shown} and {more} more)" if more > 0 else f" ({shown})"
