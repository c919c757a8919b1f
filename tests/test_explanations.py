"""Every failure is explained, by its code and by what DocRaptor says."""

import pytest

from django_docraptor.explanations import CODES, REASONS, UNKNOWN, Bill, all_explanations, explain
from django_docraptor.models import RenderJob
from django_docraptor.states import POSSIBLY_BILLED_CODES, RESUME_STATES, ErrorCode, State

# DocRaptor's known reasons, with the title of the explanation.
KNOWN_REASONS = {
    "Document type can't be blank": "invalid option",
    "Document type is not included in the list": "invalid option",
    "Name is too long (maximum is 200 characters)": "invalid option",
    "Name can't be blank\nName is too long (maximum is 200 characters)": "invalid option",
    "Tag is too long (maximum is 200 characters)": "invalid option",
    "Over document limit. Please upgrade your account.": "DocRaptor's document limit",
    "Account canceled. Please update payment details or contact DocRaptor support.": (
        "DocRaptor account suspended"
    ),
    "Account suspended. Please update payment details (reactivation may take a few minutes)": (
        "DocRaptor account suspended"
    ),
    "Document creation failed due to unknown reasons.": "fault at DocRaptor",
    "[Document Queueing Error] There was an error queueing your document.": "fault at DocRaptor",
    "Timeout trying to create pdf from document content.": "too slow to render",
    "[Javascript Error] ReferenceError: total is not defined": "script failed",
    "Document Malformed: Tag herp invalid": "HTML not well formed",
    "line 3\nDocument malformed: line 42: opening and ending tag mismatch": "HTML not well formed",
    "File system access is not allowed": "relative URL",
    "SSL Error downloading document content from supplied url.": "certificate refused",
}


def test_every_code_is_explained() -> None:
    """None is missing, and none is left of an earlier version."""
    assert set(CODES) == set(ErrorCode)


@pytest.mark.parametrize("code", [ErrorCode.RENDER_FAILED, ErrorCode.REJECTED])
@pytest.mark.parametrize(("errors", "title"), KNOWN_REASONS.items())
def test_known_reasons_are_explained(code: str, errors: str, title: str) -> None:
    """By the words of DocRaptor, wherever they stand and in any case."""
    for text in (errors, errors.upper(), f"Something else.\n{errors}"):
        assert str(explain(code, text).title) == title


def test_each_reason_is_known() -> None:
    """No pattern is there for a text that was never seen."""
    explained = {explain(ErrorCode.RENDER_FAILED, errors).title for errors in KNOWN_REASONS}
    assert explained == {reason.explanation.title for reason in REASONS}


def test_words_of_others_are_not_docraptors() -> None:
    """A traceback that happens to quote DocRaptor is explained by its code."""
    explanation = explain(ErrorCode.TEMPLATE_ERROR, "ValueError: Document Malformed: x")
    assert explanation is CODES[ErrorCode.TEMPLATE_ERROR]
    assert explain("a_later_code", "Document Malformed: x") is UNKNOWN


def test_bill_agrees_with_the_rules() -> None:
    """What may have been billed is said to have been, or perhaps; all else is not."""
    for code, explanation in CODES.items():
        may_be = explanation.bill in (Bill.YES, Bill.PERHAPS)
        assert may_be is (code in POSSIBLY_BILLED_CODES), code


def test_what_resumes_can_help() -> None:
    """A retry that costs nothing is worth trying, unless a limit has to be raised first."""
    for code in RESUME_STATES:
        assert CODES[code].can_help is (code != ErrorCode.DOCUMENT_TOO_LARGE), code


def test_titles_fit_a_column() -> None:
    """The list shows them below the state."""
    for explanation in all_explanations():
        assert len(str(explanation.title)) <= 30, explanation.title


def test_only_failed_jobs_have_an_explanation() -> None:
    """The last error of a job that waits is no failure."""
    job = RenderJob(state=State.PENDING, error_code="", errors="busy")
    assert job.explanation is None
    job = RenderJob(state=State.FAILED, error_code=ErrorCode.REJECTED, errors="SSL Error …")
    assert job.explanation is not None
    assert str(job.explanation.title) == "certificate refused"
