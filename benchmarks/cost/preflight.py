"""CPU of the preflight for each megabyte of HTML, as a request and a worker do it."""

import argparse
import re
import time
from collections.abc import Callable

from benchmarks.cost.metrics import Metric, Result, scaled_target
from benchmarks.cost.site import Site
from django_docraptor.payloads import DocumentRequest
from django_docraptor.preflight import check_content, find_problems
from django_docraptor.preflight.parser import TolerantParser

# Milliseconds where the parser takes the second.
TARGET, REFERENCE_MS = 35, 121
SIZES = {"3_kB": 3_000, "30_kB": 30_000, "1_MB": 1_000_000}
REPEATS = 9

HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Invoice</title><!-- printed -->
<link rel="stylesheet" href="https://shop.example/print.css">
<style>td { padding: 2mm } h1 { background: url('https://shop.example/logo.svg') }</style>
</head><body><h1>Invoice</h1><table class="lines">
"""
ROW = """<tr class="line"><td class="name"><a href="https://shop.example/p/{n}">Product {n}</a></td>
<td style="text-align: right">{n}.00&nbsp;EUR</td>
<td><strong>in stock</strong> &amp; ready</td></tr>
"""
IMAGE = '<tr><td colspan="3"><img src="https://shop.example/img/{n}.png" alt="Product"></td></tr>\n'
# What any scanner must do: find where each tag ends.
TAGS = re.compile(r"(?:[^<]++|<[^<>]*+>)*+")


def page(size: int) -> str:
    """Return an invoice of about this many characters."""
    rows = [HEAD]
    length, number = len(HEAD), 0
    while length < size:
        number += 1
        rows.append(ROW.format(n=number) + (IMAGE.format(n=number) if number % 20 == 0 else ""))
        length += len(rows[-1])
    return "".join([*rows, "</table></body></html>\n"])


def _ms_per_mb(read: Callable[[str], object], html: str) -> float:
    """Return the least CPU for each megabyte, in ms: other work only adds to it."""
    rounds = max(1, 100_000 // len(html))
    spent = []
    for _ in range(REPEATS):
        started = time.process_time()
        for _ in range(rounds):
            read(html)
        spent.append((time.process_time() - started) / rounds)
    return 1000 * min(spent) / (len(html) / 1_000_000)


def _parse(html: str) -> None:
    parser = TolerantParser()
    parser.feed(html)
    parser.close()


def measure(site: Site, options: argparse.Namespace) -> list[Metric]:
    """Compare with a parser that reads everything."""
    results = []
    for name, size in SIZES.items():
        html = page(size)
        ours = _ms_per_mb(lambda text: find_problems(text, allow_private=False), html)
        parsed = _ms_per_mb(_parse, html)
        results.append(
            Result(
                name=name,
                value=ours,
                target=scaled_target(TARGET, parsed, REFERENCE_MS) if name == "1_MB" else None,
                floor=_ms_per_mb(TAGS.match, html),
                ours=f"{ours * len(html) / 1_000_000:.2f} ms",
                baseline=f"{parsed * len(html) / 1_000_000:.2f} ms to parse it",
            )
        )
    floor = results[-1].floor
    request = DocumentRequest(name="invoice.pdf", document_type="pdf", content=html)
    passed = check_content(request, max_bytes=len(html))
    again = _ms_per_mb(
        lambda text: check_content(request, max_bytes=len(html), passed=passed), html
    )
    results.append(
        Result(name="1_MB_in_worker", value=again, ours=f"{again:.2f} ms: it has passed before")
    )
    return [
        Metric(
            key="preflight_ms_per_mb",
            description="CPU of the preflight for each megabyte of HTML, ms",
            results=tuple(results),
            notes=(f"floor: one regular expression over all tags: {floor:.1f} ms",),
        )
    ]
