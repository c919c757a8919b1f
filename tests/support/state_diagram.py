"""The state diagram of ``states`` and of the documentation, as data.

Each line is an arrow: a function of ``lifecycle.transitions``, the states before, the state after
and a comment. A line without a function continues the one above.
"""

import re
from collections import defaultdict

from django_docraptor.states import ACTIVE_STATES, State

Arrow = tuple[State, State]

FIRST_FUNCTION = "begin_attempts"
ANY_UNFINISHED = "any unfinished state"
LINE = re.compile(
    r"\s*(?P<function>[a-z_]+(?=\s{2}))?\s*"
    rf"(?P<before>{ANY_UNFINISHED}|[A-Z]+(?:, [A-Z]+)*)\s+─►\s+"
    r"(?P<after>[A-Z]+)(?:\s{2,}\S.*)?"
)


def parse_state_diagram(text: str) -> dict[str, set[Arrow]]:
    """Return the arrows of each function in the diagram that a docstring or a page contains.

    The diagram ends at a blank line, at a Markdown fence or with the text.

    Raises:
        ValueError: the text has no diagram, or a line of it is no arrow.
    """
    arrows: dict[str, set[Arrow]] = defaultdict(set)
    function = ""
    for line in _diagram_lines(text):
        match = LINE.fullmatch(line.rstrip())
        if match is None:
            raise ValueError(f"Not an arrow of the state diagram: {line!r}")
        function = match["function"] or function
        is_any = match["before"] == ANY_UNFINISHED
        before = ACTIVE_STATES if is_any else [State[name] for name in match["before"].split(", ")]
        arrows[function] |= {(state, State[match["after"]]) for state in before}
    return dict(arrows)


def _diagram_lines(text: str) -> list[str]:
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if line.split()[:1] == [FIRST_FUNCTION]), None)
    if start is None:
        raise ValueError("The text has no state diagram.")
    end = start
    while end < len(lines) and lines[end].strip() and not lines[end].strip().startswith("```"):
        end += 1
    return lines[start:end]
