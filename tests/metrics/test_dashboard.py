"""The dashboard and the alert rules: they can be read, and each metric in them exists."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from django_docraptor.metrics import prometheus
from django_docraptor.states import State

FOLDER = Path(__file__).parents[2] / "docs" / "how-to" / "metrics"
METRICS = [each for each in vars(prometheus).values() if isinstance(each, MetricWrapperBase)]
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}


def series() -> dict[str, set[str]]:
    """Return the names of all time series, with their labels."""
    found = {}
    for metric in METRICS:
        (described,) = metric.describe()
        for suffix in SUFFIXES[described.type]:
            labels = {*metric._labelnames, *(["le"] if suffix == "_bucket" else [])}
            found[described.name + suffix] = labels
    return found


def expressions() -> Iterator[tuple[str, str]]:
    """Yield each expression of PromQL, with the text that shows its labels."""
    for panel in json.loads((FOLDER / "dashboard.json").read_text())["panels"]:
        for target in panel["targets"]:
            yield target["expr"], target["legendFormat"]
    for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["expr"], json.dumps(rule["annotations"])


@pytest.mark.parametrize(("expression", "text"), list(expressions()))
def test_expression_asks_for_what_exists(expression: str, text: str) -> None:
    """Each metric, label and state of an expression is one of the receiver."""
    names = re.findall(r"\bdocraptor_\w+", expression)
    assert names
    assert set(names) <= series().keys()
    labels = set.intersection(*(series()[name] for name in names))
    used = {
        name.strip()
        for found in re.findall(r"by \(([^)]*)\)", expression)
        for name in found.split(",")
    }
    used |= set(re.findall(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}", text))
    used |= {name for name, _value in re.findall(r'(\w+)(?:!=|=~|=)"(\w*)"', expression)}
    assert used <= labels
    states = re.findall(r'state="(\w+)"', expression)
    assert set(states) <= {state.value for state in State}


@pytest.mark.parametrize(("expression", "_text"), list(expressions()))
def test_gauge_of_several_hosts_is_counted_once(expression: str, _text: str) -> None:
    """Each host that measures has measured the same queue, so their values are not added."""
    gauges = "|".join(each._name for each in METRICS if each._type == "gauge")
    plain = re.sub(rf"max(?: by \([a-z, ]+\))? ?\((?:{gauges})(?:\{{[^}}]*\}})?\)", "", expression)
    assert re.search(rf"\b(?:{gauges})\b", plain) is None


def test_every_metric_is_on_the_dashboard() -> None:
    """A metric that no panel shows is one that people do not know."""
    shown = " ".join(expression for expression, _text in expressions())
    missing = [metric._name for metric in METRICS if metric._name not in shown]
    assert missing == []


def test_panels_do_not_overlap() -> None:
    """Each panel has an ID and a place of its own."""
    panels = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len(panels)
