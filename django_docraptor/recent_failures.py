"""Internal. What has failed lately, grouped by what it means. Reads only."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from django.db.models.functions import Left

from django_docraptor.explanations import Explanation, explain
from django_docraptor.models import RenderJob, seconds_from_now
from django_docraptor.states import State

PERIOD_SECONDS: Final = 24 * 3600.0
# Newest failed jobs that are read, and how much of their errors: DocRaptor's reasons are short.
MAX_READ: Final = 1000
MAX_REASON_LENGTH: Final = 300


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Jobs that failed for the same reason.

    Args:
        error_code: the code of the jobs.
        explanation: what it means.
        count: the number of jobs.
    """

    error_code: str
    explanation: Explanation
    count: int

    def to_json(self) -> dict[str, Any]:
        """Return the group as JSON."""
        return {
            "error_code": self.error_code,
            "title": str(self.explanation.title),
            "remedy": str(self.explanation.remedy),
            "count": self.count,
        }


def recent_failures() -> list[FailureGroup]:
    """Return the reasons of the newest ``MAX_READ`` jobs of the last 24 hours that have failed.

    The most frequent reason comes first.
    """
    since = seconds_from_now(-PERIOD_SECONDS)
    failed = RenderJob.objects.filter(state=State.FAILED, created_at__gte=since)
    failed = failed.order_by("-created_at")
    reasons = failed.values_list("error_code", Left("errors", MAX_REASON_LENGTH))
    counts: Counter[tuple[str, str]] = Counter()
    explanations = {}
    for code, reason in reasons[:MAX_READ]:
        explanation = explain(code, reason)
        key = (code, str(explanation.title))
        explanations[key] = explanation
        counts[key] += 1
    return [FailureGroup(key[0], explanations[key], count) for key, count in counts.most_common()]
