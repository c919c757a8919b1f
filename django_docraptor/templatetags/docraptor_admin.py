"""Internal. ``{% load docraptor_admin %}``: what is wrong, on the pages of the admin."""

from typing import Any

from django import template

from django_docraptor.durations import format_duration

register = template.Library()


@register.inclusion_tag("admin/django_docraptor/health.html", takes_context=True)
def docraptor_health(
    context: template.Context, job: Any = None, report: Any = None
) -> dict[str, Any]:
    """Show what is wrong with the queue and the engine to users who may view jobs.

    Args:
        context: the template's.
        job: that is shown, if one is: the pauses of other accounts do not concern it, and an
            engine that does not run concerns it before it is late.
        report: the health report, if the page has read it.
    """
    # Django's checks import all libraries of tags in every project: these would load the engine.
    from django_docraptor.health import health_report
    from django_docraptor.responses.permissions import has_permission

    request = context.get("request")
    if request is None or not has_permission(request, "django_docraptor.view_renderjob"):
        return {}
    report = report or health_report()
    restrictions, banner = list(report.restrictions), report.banner()
    if job is not None:
        restrictions = [each for each in restrictions if each.account == job.account]
        problem = "" if job.is_final or report.lateness_problems() else report.engine_problem()
        banner = [*([problem] if problem else []), *banner]
    return {"banner": banner, "restrictions": restrictions}


@register.filter
def duration_text(seconds: float | None) -> str:
    """Return seconds as text, such as "31 days"; "" for ``None``."""
    return "" if seconds is None else format_duration(seconds)
