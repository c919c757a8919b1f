"""Mutants that no test can kill, because nothing that a caller can see has changed.

A mutant is known by its module and by the line that it changes, not by its number, which another
change of the function would shift.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Equivalent:
    """A mutant that behaves as the code does.

    Args:
        module: below ``django_docraptor``, such as ``client.parsing``.
        old: the line, without its indentation.
        new: what the mutant has instead.
        why: the reason, in one line.
    """

    module: str
    old: str
    new: str
    why: str


EQUIVALENT = (
    Equivalent(
        "client.transport",
        "allow_redirects=False,",
        "",
        "the second of two guards: no response of such a session has a redirect target",
    ),
    Equivalent(
        "client.failures",
        '*(key, quote(key, safe=""), quote_plus(key), html.escape(key)),',
        '*(key, quote(key, safe="XXXX"), quote_plus(key), html.escape(key)),',
        "letters are never quoted",
    ),
    Equivalent(
        "client.visits",
        'method: str = "GET",',
        'method: str = "get",',
        "requests sends every method in capitals",
    ),
    Equivalent(
        "lifecycle.accounts",
        "jobs = RenderJob.objects.filter("
        'account=account, state__in=PAUSABLE_STATES, lease_token="")',
        'jobs = RenderJob.objects.filter(account=account, lease_token="")',
        "a finished job has no time at which it is due, and one that is being sent has a lease",
    ),
)
