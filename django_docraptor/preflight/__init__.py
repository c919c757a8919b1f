"""Internal. Find what would fail at DocRaptor before it costs anything.

Nothing is fetched or executed. The checks are imported with the first content.
"""

from typing import TYPE_CHECKING

from django_docraptor.lazy_names import import_on_use

if TYPE_CHECKING:
    from django_docraptor.preflight.inspection import check_content, find_problems, options_of
    from django_docraptor.preflight.problems import Problem, Rule, Severity

else:  # hidden from type checkers, which would take any name for an Any
    __getattr__ = import_on_use(
        __name__,
        {
            "inspection": ["check_content", "find_problems", "options_of"],
            "problems": ["Problem", "Rule", "Severity"],
        },
    )

__all__ = ["Problem", "Rule", "Severity", "check_content", "find_problems", "options_of"]
