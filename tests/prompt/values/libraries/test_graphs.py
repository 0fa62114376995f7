"""Graphs say how large they are, and what their first nodes and edges are."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from support.prompt_blocks import text


def test_a_graph_of_networkx_is_its_size_its_nodes_and_its_edges() -> None:
    networkx = pytest.importorskip("networkx")
    shown = text("{{g}}", g=networkx.karate_club_graph())
    assert shown.startswith('Graph named "Zachary\'s Karate Club" with 34 nodes and 78 edges (undirected)\n')
    assert "0 – 1 {'weight': 4}" in shown
    assert "1 → 2" in text("{{g}}", g=networkx.DiGraph([(1, 2)]))


def test_a_graph_of_igraph_is_what_its_str_says() -> None:
    igraph = pytest.importorskip("igraph")
    assert text("{{g}}", g=igraph.Graph.Ring(3)).startswith("IGRAPH U--- 3 3 --")


class Graph:
    """Counts its nodes and edges as rustworkx and dgl do; its repr says nothing."""

    def num_nodes(self) -> int:
        return 4

    def num_edges(self) -> int:
        return 7


def test_any_graph_that_counts_its_nodes_and_edges_says_so() -> None:
    assert text("{{g}}", g=Graph()) == "Graph with 4 nodes and 7 edges"
    assert text("{{g}}", g={"a": Graph(), "b": 1}) == "g['a']:\n    Graph with 4 nodes and 7 edges\ng['b']: 1"


def test_what_a_class_says_in_its_str_is_more_than_its_name() -> None:
    class Plan:
        def __str__(self) -> str:
            return "three steps"

    class Silent:
        def __repr__(self) -> str:
            return "<Silent>"

        def _repr_html_(self) -> str:
            return "<table><tr><td>1<td>2</table>"

    class Bundled:
        def __repr__(self) -> str:
            return "Bundled"

        def _repr_mimebundle_(self, include: Any, exclude: Any, **options: Any) -> dict[str, str]:
            return {"text/html": "<pre>a  b</pre>"}

    @dataclasses.dataclass
    class Table:
        inner: object

        def _repr_html_(self) -> str:
            return "<table><tr><td>1</td></tr></table>"

    assert text("{{bundled}}", bundled=Bundled()) == "a  b"
    assert text("{{table}}", table=Table(object())) == "1"
    assert text("{{plan}}", plan=Plan()) == "three steps"
    assert text("{{silent}}", silent=Silent()) == "1 | 2"


def test_where_nothing_of_substance_goes_the_cell_says_so() -> None:
    from claude_magic.prompt.prompt import build_prompt

    class Plain:
        pass

    values: dict[str, Any] = {"a": Plain(), "b": [Plain(), Plain()], "c": 3, "d": "<object>"}
    attached = build_prompt("{{a}} {{b}} {{c}} {{d}}", values).attached
    assert [each.name for each in attached] == ["a, only its class", "b, only its class", "c", "d"]
