"""What will fail at DocRaptor, found here, where it is free. Nothing is fetched or run."""

from django_docraptor.preflight.inspection import check_content, find_problems
from django_docraptor.preflight.problems import Problem, Severity

__all__ = ["Problem", "Severity", "check_content", "find_problems"]
