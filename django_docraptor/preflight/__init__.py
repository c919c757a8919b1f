"""Internal. Find what would fail at DocRaptor before it costs anything.

Nothing is fetched or executed.
"""

from django_docraptor.preflight.inspection import check_content, find_problems, options_of
from django_docraptor.preflight.problems import Problem, Rule, Severity

__all__ = ["Problem", "Rule", "Severity", "check_content", "find_problems", "options_of"]
