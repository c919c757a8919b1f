"""Query plans: the statements that a block executes, and those that scan a large table."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from django_docraptor.models import RenderEvent, RenderJob

# Tables that grow with the history.
LARGE = [RenderJob._meta.db_table, RenderEvent._meta.db_table]
EXPLAINABLE = ("SELECT", "UPDATE", "DELETE", "WITH")
ALIAS = re.compile(rf'"({"|".join(LARGE)})" (?:AS )?"?(\w+)"?')
MYSQL_ALIAS = re.compile(rf"`({'|'.join(LARGE)})` (?:AS )?`?(\w+)`?")


@dataclass
class CapturedPlans:
    """Executed statements, and those that scan a large table."""

    statements: list[str] = field(default_factory=list)
    scans: list[str] = field(default_factory=list)


@contextmanager
def captured_plans() -> Iterator[CapturedPlans]:
    """Explain every statement of the block before it is executed."""
    found, busy = CapturedPlans(), False

    def explain(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal busy
        if not busy and sql.startswith(EXPLAINABLE):
            busy = True
            try:
                found.statements.append(sql)
                problems = SCAN_FINDERS[connection.vendor](sql, params[0] if many else params)
                found.scans += [f"{problem}: {sql}" for problem in problems]
            finally:
                busy = False
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explain):
        yield found


def _ask(sql: str, params: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())


def _sqlite(sql: str, params: Any) -> Iterator[str]:
    """Yield scans of a table, or of an index without a LIMIT."""
    names = dict.fromkeys(LARGE) | {alias: None for _table, alias in ALIAS.findall(sql)}
    for *_ids, detail in _ask(f"EXPLAIN QUERY PLAN {sql}", params):
        kind, name, *using = detail.split(" ", 2)
        if kind == "SCAN" and name in names and not (using and "LIMIT" in sql):
            yield detail


def _postgresql(sql: str, params: Any) -> Iterator[str]:
    [[plan]] = _ask(f"EXPLAIN (FORMAT JSON) {sql}", params)
    [root] = json.loads(plan) if isinstance(plan, str) else plan
    yield from _nodes(root["Plan"], limited=False)


def _nodes(node: dict[str, Any], limited: bool) -> Iterator[str]:
    kind, table = node["Node Type"], node.get("Relation Name")
    whole = kind == "Seq Scan" or (
        kind in ("Index Scan", "Index Only Scan") and "Index Cond" not in node and not limited
    )
    if whole and table in LARGE:
        yield f"{kind} on {table}"
    for inner in node.get("Plans", []):
        yield from _nodes(inner, limited or kind == "Limit")


def _mysql(sql: str, params: Any) -> Iterator[str]:
    """Yield scans of a table, or of an index without a LIMIT, on MariaDB."""
    names = {*LARGE, *(alias for _table, alias in MYSQL_ALIAS.findall(sql))}
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {sql}", params)
        columns = [column[0] for column in cursor.description]
        rows = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
    for row in rows:
        is_scan = row["type"] == "ALL" or (row["type"] == "index" and "LIMIT" not in sql)
        if is_scan and row["table"] in names:
            yield f"{row['type']} on {row['table']}, {row['rows']} rows"


SCAN_FINDERS = {"sqlite": _sqlite, "postgresql": _postgresql, "mysql": _mysql}
