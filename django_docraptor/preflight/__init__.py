"""Internal. Find what would fail at DocRaptor before it costs anything.

Nothing is fetched or executed.
"""

from django_docraptor.preflight.inspection import check_content, find_problems
from django_docraptor.preflight.problems import Problem, Severity

__all__ = ["Problem", "Severity", "check_content", "find_problems"]
