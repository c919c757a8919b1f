"""Problems that DocRaptor would report are found before anything is sent."""

import logging
from dataclasses import replace
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from django_docraptor import Document, enqueue
from django_docraptor.conf import DOCRAPTOR_URL
from django_docraptor.lifecycle.composition import CompositionError, compose_request
from django_docraptor.models import RenderJob
from django_docraptor.payloads import PrinceOptions
from django_docraptor.preflight import Rule, check_content, inspection, resources
from django_docraptor.setting_values import PREFLIGHT_RULES, preflight_rules_error
from tests.support.document_requests import make_request, validation_messages
from tests.support.preflight import content_error, problems_in


def test_size_limit_is_in_bytes():
    """The limit is in bytes of UTF-8, and inclusive."""
    check_content(make_request(content="é" * 50), max_bytes=100)
    found = validation_messages(check_content, make_request(content="é" * 50 + "x"), max_bytes=100)
    assert "101 bytes, but at most 100 are allowed" in found["content"][0]


def test_long_url_is_shortened_in_the_message():
    """The message stays readable."""
    assert len(content_error(f'<img src="{"a" * 5000}">')) < 500


PRIVATE_URLS = [
    "http://localhost:8000/x",
    "http://LOCALHOST./x",
    "http://user:secret@10.0.0.5/x",
    "http://192.168.1.1",
    "http://172.16.0.1:8080/x",
    "http://web/x",
    "https://printer.local/x",
    "https://db.internal/x",
    "http://169.254.169.254/latest/meta-data/",
    "http://127.1/x",
    "http://2130706433/x",
    "http://0x7f.0.0.1/x",
    "http://0.0.0.0:8000/x",
    "http://100.64.0.1/x",
    "http://[::1]:8000/x",
    "http://[fd00::17]/x",
    "http://[fe80::1%25eth0]/x",
    "http://[::ffff:10.0.0.5]/x",
    "http://[64:ff9b::a00:5]/x",
    "http://[2002:a00:5::]/x",
    "http://10%2e0.0.5/x",
    "http://\uff11\uff10.0.0.5/x",
    "http://10\u30020\u30020\u30025/x",
]


@pytest.fixture
def docraptor_url(settings):
    """Documents are sent to DocRaptor, not to a sandbox."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"BASE_URL": DOCRAPTOR_URL}


@pytest.mark.parametrize("test", [True, False])
@pytest.mark.parametrize("url", PRIVATE_URLS)
def test_url_that_docraptor_cannot_reach_is_refused(docraptor_url, url, test):
    """The URL of a document is checked as a link in HTML is, whether or not it is billed."""
    request = make_request(content="", url=url, test=test)
    (message,) = validation_messages(check_content, request, max_bytes=0)["url"]
    assert "which DocRaptor cannot reach" in message
    assert "(private-host)" in message
    assert content_error(f'<img src="{url}">')


def test_expired_url_is_refused():
    """The signature's date is in the URL; the signature is not in the message."""
    url = "https://a.test/x?Signature=secret&Expires=1700000000"
    request = make_request(content="", url=url)
    (message,) = validation_messages(check_content, request, max_bytes=0)["url"]
    assert "expired at 2023-11-14" in message
    assert "secret" not in message


@pytest.mark.parametrize(
    "url", ["https://shop.test/", "http://8.8.8.8/x", "https://[2001:4860:4860::8888]/"]
)
def test_public_url_is_accepted(url):
    """A document from a public URL has no content to check."""
    check_content(make_request(content="", url=url), max_bytes=0)


def test_private_url_is_accepted_with_the_sandbox(settings):
    """As with links, the sandbox can reach it; a production document is meant for DocRaptor."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"BASE_URL": "http://127.0.0.1:9"}
    request = make_request(content="", url=PRIVATE_URLS[0], test=True)
    check_content(request, max_bytes=0)
    billed = replace(request, test=False)
    assert "cannot reach" in validation_messages(check_content, billed, max_bytes=0)["url"][0]


# --- Rules -----------------------------------------------------------------------------------

EXAMPLES = {
    Rule.RELATIVE_URL: '<img src="a.png">',
    Rule.PRIVATE_HOST: '<img src="http://web/a.png">',
    Rule.EXPIRED_URL: '<img src="https://a.test/a?Signature=a&Expires=1700000000">',
    Rule.MISSING_FILE: '<img src="https://a.test/a"><img src="/static/nothing-here.png">',
    Rule.MISNESTED_TAG: "<b>",
    Rule.CONTENT_SIZE: "x" * 999,
}


# The other rules are about a document's url and its template: see test_login_pages and
# test_docraptor_preflight.
@pytest.mark.parametrize("rule", sorted({*Rule} - {Rule.LOGIN_PAGE, Rule.UNDEFINED_VARIABLE}))
def test_each_rule_can_be_turned_off(settings, rule):
    """By its name, in a call or for the project."""
    baseurl = "https://a.test/" if rule == Rule.MISSING_FILE else ""
    options = {"strict": "html", "max_bytes": 500, "baseurl": baseurl}
    (problem,) = problems_in(EXAMPLES[rule], **options)
    assert problem.rule == rule
    assert problems_in(EXAMPLES[rule], ignore=[rule.value], **options) == []
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"PREFLIGHT_IGNORE": [rule.value]}
    assert problems_in(EXAMPLES[rule], **options) == []


def test_rule_that_is_on_is_checked_behind_one_that_is_off():
    """One URL may break two rules."""
    html = '<base href="http://web/"><img src="file:///a.png"><img src="//web/a.png">'
    found = [problem.rule for problem in problems_in(html, ignore=["relative-url"])]
    assert found == [Rule.PRIVATE_HOST]


def test_rules_have_one_list():
    """The setting's validator knows the rules without importing the preflight."""
    assert set(Rule) == set(PREFLIGHT_RULES)
    assert preflight_rules_error(["relative-url"]) is None
    assert "relative-url" in preflight_rules_error(["relative_url"])
    assert "must be a list" in preflight_rules_error("relative-url")


class Brochure(Document[None]):
    """A document that knows better."""

    template_name = "shop/invoices.html"
    preflight_ignore = {"relative-url"}

    def render(self):
        return '<img src="a.png"><img src="http://web/a.png">'


@pytest.mark.django_db
def test_document_turns_off_its_own_rules(docraptor_url, monkeypatch):
    """At enqueue and in the worker; the other rules stay on."""
    with pytest.raises(ValidationError) as caught:
        Brochure.enqueue(snapshot=True)
    (message,) = caught.value.message_dict["content"]
    assert "http://web" in message
    job = Brochure.enqueue()
    with pytest.raises(CompositionError, match="http://web") as failed:
        compose_request(job)
    assert 'a.png"> is not an absolute' not in str(failed.value)
    monkeypatch.setattr(Brochure, "preflight_ignore", ["relative-url", "private-host"])
    assert Brochure.enqueue(snapshot=True)
    assert compose_request(job).content


@pytest.mark.django_db
def test_private_url_creates_no_job():
    """Nothing is sent, and nothing is saved."""
    with pytest.raises(ValidationError) as caught:
        enqueue(name="a.pdf", url="http://10.0.0.5/x", test=False)
    assert "10.0.0.5" in caught.value.message_dict["url"][0]
    assert not RenderJob.objects.exists()


@given(st.text(alphabet="<>/='\" ;&#!-[]sryleimgu()@*\n", max_size=80))
def test_odd_markup_raises_no_other_error(content):
    """Whatever the HTML contains, the result is a message or none."""
    assert isinstance(content_error(f"x{content}"), str)


def test_all_problems_are_reported_at_once():
    """All problems are in one message, up to a limit."""
    content = '<img src="a.png">\n' * 12
    messages = validation_messages(check_content, make_request(content=content), max_bytes=10_000)[
        "content"
    ]
    assert [message.split(" of ")[0] for message in messages[:2]] == ["Line 1", "Line 2"]
    assert messages[10:] == ["… and 2 more problems."]


def test_message_names_the_template():
    """The line is that of the rendered HTML, and the template is where to fix it."""
    content = make_request(content='\n<img src="a.png">')
    (message,) = validation_messages(check_content, content, max_bytes=100, template="shop/a.html")[
        "content"
    ]
    assert message.startswith("Line 2 of the content rendered from shop/a.html: <img")


def test_warning_is_logged_once(caplog):
    """A warning refuses nothing, and is not logged again for each document."""
    html = '<img src="/static/nothing-here.png">'
    request = make_request(
        content=html, prince_options=PrinceOptions(baseurl="https://shop.example/")
    )
    with caplog.at_level(logging.WARNING, logger="django_docraptor"):
        check_content(request, max_bytes=1000)
        check_content(request, max_bytes=1000)
    assert [record.getMessage() for record in caplog.records] == [
        'Line 1 of content: <img src="/static/nothing-here.png"> refers to the static '
        "file 'nothing-here.png', which does not exist. Fix the path, or run collectstatic where "
        "the file is served. (missing-file)"
    ]


# --- Content that has passed -----------------------------------------------------------------

FUTURE = 4102444800  # 2100
PASSING = '<img src="https://a.test/a.png">'


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The content that was read, each time."""
    read: list[str] = []
    visit = resources.visit_resources

    def note(html: str, *arguments: Any) -> None:
        read.append(html)
        visit(html, *arguments)

    monkeypatch.setattr(resources, "visit_resources", note)
    return read


def test_content_that_has_passed_is_not_read_again(readings: list[str]) -> None:
    """The digest stands for the content and for all options of its check."""
    passed = check_content(make_request(content=PASSING), max_bytes=500)
    assert len(passed) == 32
    assert check_content(make_request(content=PASSING), max_bytes=500, passed=passed) == passed
    assert readings == [PASSING]


@pytest.mark.parametrize(
    "change",
    [
        {"content": PASSING + " "},
        {"strict": "html"},
        {"prince_options": {"baseurl": "https://a.test/"}},
        {"prince_options": {"media": "screen"}},
        {"javascript": True},
        {"max_bytes": 501},
        {"ignore": ["private-host"]},
        {"settings": {"PREFLIGHT_IGNORE": ["private-host"]}},
        {"settings": {"BASE_URL": "https://api.docraptor.com"}},
        {"version": "9.9"},
    ],
    ids=str,
)
def test_whatever_differs_is_checked_again(
    settings: Any, monkeypatch: pytest.MonkeyPatch, readings: list[str], change: dict[str, Any]
) -> None:
    """Also in another process, whose settings are others, or after an upgrade."""
    passed = check_content(make_request(content=PASSING), max_bytes=500)
    settings.DOCRAPTOR = settings.DOCRAPTOR | change.pop("settings", {})
    monkeypatch.setattr(inspection, "__version__", change.pop("version", inspection.__version__))
    checked = {name: change.pop(name) for name in ("max_bytes", "ignore") if name in change}
    change = {"content": PASSING, **change}
    if "prince_options" in change:
        change["prince_options"] = PrinceOptions(**change["prince_options"])
    request = make_request(**change)
    again = check_content(request, **{"max_bytes": 500, **checked}, passed=passed)
    assert len(readings) == 2
    assert again != passed


def test_content_with_a_signed_url_is_checked_each_time() -> None:
    """The URL may have expired when the document is sent."""
    html = f'<img src="https://a.test/a?Signature=a&Expires={FUTURE}">'
    assert check_content(make_request(content=html), max_bytes=500) == ""


def test_content_that_does_not_pass_has_no_digest(readings: list[str]) -> None:
    """An earlier digest of other content excuses nothing."""
    passed = check_content(make_request(content=PASSING), max_bytes=500)
    broken = make_request(content='<img src="a.png">')
    assert validation_messages(check_content, broken, max_bytes=500, passed=passed)["content"]
