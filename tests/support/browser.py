"""Chromium for tests: pages, log-ins, and what a page must not do."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import axe_playwright_python
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
]
AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text()
# Rules of WCAG 2 and best practice, as axe names them.
RUN_AXE = """async () => {
    const found = await axe.run(document, {resultTypes: ["violations"]});
    return found.violations.flatMap(
        rule => rule.nodes.map(node => [rule.id, node.target.join(" "), node.html]));
}"""
# The admin's links change their colour gradually.
AWAIT_TRANSITIONS = """async () => {
    getComputedStyle(document.body).color;
    await Promise.allSettled(document.getAnimations().map(animation => animation.finished));
}"""
# Parts of the admin's pages that are ours.
ADMIN = "[class^=docraptor-], [class*=' docraptor-'], #result_list, fieldset.module"
IS_LIST_WIDER = """() => {
    const table = document.querySelector(".model-renderjob #result_list")?.parentElement;
    return !!table && table.scrollWidth > table.clientWidth;
}"""
# What a site that allows nothing from elsewhere sends.
STRICT_POLICY = "default-src 'self'"


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium."""
    with sync_playwright() as playwright:
        path = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


def log_in(context: BrowserContext, url: str, user: Any) -> None:
    """Give the browser the session of a logged-in user."""
    client = Client()
    client.force_login(user)
    name = settings.SESSION_COOKIE_NAME
    context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": url}])


def note_complaints(page: Page, complaints: list[str]) -> None:
    """Add to a list what the browser reports of a page: errors, and what a policy has blocked."""

    def note(message: Any) -> None:
        url = message.location["url"]
        if not url.endswith("/favicon.ico"):  # the site has none
            complaints.append(f"console: {message.text} {url}")

    page.on("console", note)
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))


def accessibility_problems(page: Page) -> set[tuple[str, str, str]]:
    """Return what axe finds on a page: each as its rule, the element's path and its HTML."""
    page.evaluate(AWAIT_TRANSITIONS)
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    return {tuple(found) for found in page.evaluate(RUN_AXE)}


def problems_of_view(page: Page, width: int, ours: str) -> list[str]:
    """Return what is wrong with a page in this width.

    Args:
        page: which is open.
        width: of the window, in pixels.
        ours: a selector of the parts that are ours, if the page is not.
    """
    problems = sideways(page, width)
    for rule, target, html in sorted(accessibility_problems(page)):
        is_ours = not ours or page.evaluate(
            "([target, ours]) => !!document.querySelector(target)?.closest(ours)", [target, ours]
        )
        if is_ours:
            problems.append(f"axe: {rule}: {target}: {html[:200]}")
    return problems


def sideways(page: Page, width: int) -> list[str]:
    """Return whether a page is wider than the window, or the list of jobs than its place."""
    is_wider = page.evaluate("document.documentElement.scrollWidth") > width
    is_list_wider = page.evaluate(IS_LIST_WIDER)
    return ["scrolls sideways"] * is_wider + ["its list scrolls sideways"] * is_list_wider


def strict_policy(get_response: Any) -> Any:
    """Send a strict Content-Security-Policy with each response that has none (middleware)."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase = get_response(request)
        response.headers.setdefault("Content-Security-Policy", STRICT_POLICY)
        return response

    return middleware
