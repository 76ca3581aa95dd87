"""Boards and alerts ask for figures that exist, by labels that exist, as Prometheus' own grammar has them."""

import json
import re
from pathlib import Path

import pytest
import yaml

from ostensor.observing.exposition import exposed
from ostensor.observing.figures import FIGURES

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
ENDINGS = ("_bucket", "_sum", "_count")


def queries() -> list[str]:
    board = json.loads((DEPLOY / "grafana" / "ostensor.json").read_text(encoding="utf-8"))
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    asked += [row["query"]["query"] for row in board["templating"]["list"] if isinstance(row["query"], dict)]
    alerts = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))
    return asked + [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]


def exposed_names() -> set[str]:
    """Read off what a server without a single call tells Prometheus."""
    text, _ = exposed(())
    return {line.split()[2] for line in text.decode().splitlines() if line.startswith("# TYPE")}


def figure_of(name: str) -> str:
    return next((name.removesuffix(end) for end in ENDINGS if name.removesuffix(end) in FIGURES), name)


@pytest.mark.parametrize("query", queries())
def test_a_query_names_figures_and_labels_that_exist(query: str) -> None:
    names = {figure_of(name) for name in re.findall(r"ostensor_\w+", query)}
    assert names
    assert names <= exposed_names()
    known = {label for name in names if name in FIGURES for label in FIGURES[name].labels} | {"job", "le", "version"}
    by = {label.strip() for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(",")}
    matched = set(re.findall(r"(\w+)(?:=~|!=|=)\"", query))
    assert by | matched <= known


def test_a_value_that_is_matched_can_occur() -> None:
    """`outcome="fialed"` would never fire."""
    for query in queries():
        for name, matchers in re.findall(r"(ostensor_\w+)\{([^}]*)\}", query):
            for label, value in re.findall(r"(\w+)(?:!=|=)\"([^\"]*)\"", matchers):
                form = FIGURES[figure_of(name)].labels[label]
                assert re.fullmatch(form, value), (query, label, value)


def test_parentheses_and_braces_of_queries_close() -> None:
    for query in queries():
        for begin, end in ("()", "{}", "[]"):
            assert query.count(begin) == query.count(end), query


def test_every_figure_is_on_the_board_or_in_an_alert() -> None:
    told = " ".join(queries())
    missing = [name for name in FIGURES if name not in told]
    assert missing == ["ostensor_worker_starts_total"], "restarts say what is of interest of these"


def test_panels_do_not_overlap_and_have_one_source() -> None:
    board = json.loads((DEPLOY / "grafana" / "ostensor.json").read_text(encoding="utf-8"))
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells
        assert panel["datasource"]["uid"] == "${source}"
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
