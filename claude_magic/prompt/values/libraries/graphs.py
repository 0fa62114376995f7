"""Graphs (networkx, igraph and the like) → their size, their first nodes and their first edges, with what they hold."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from ....content.parts import Part, Room, form
from ....content.safely import is_from_library, try_or_none, type_name
from ....content.stable_text import brief, stable
from ....content.text import plural, short

MAX_LISTED = 50
MAX_ELEMENT_CHARACTERS = 120
# The methods that count nodes and edges: networkx; igraph; rustworkx, dgl and torch_geometric.
_COUNTS = (("number_of_nodes", "number_of_edges"), ("vcount", "ecount"), ("num_nodes", "num_edges"))


def _counts(value: Any) -> tuple[str, str] | None:
    """The methods of a graph that count its nodes and its edges; None for any other value."""
    kind = type(value)
    return next((both for both in _COUNTS if all(callable(getattr(kind, name, None)) for name in both)), None)


def is_graph(value: Any) -> bool:
    """Whether a value counts its nodes and edges."""
    return not isinstance(value, type) and _counts(value) is not None


def graph(value: Any, name: str, room: Room) -> list[Part]:
    """A graph: what its `str` says of it, and its first nodes and edges."""
    if is_from_library(value, "igraph"):
        return form(stable(str(value)), room.summary)
    nodes, edges = (int(getattr(value, count)()) for count in _counts(value) or ())
    said = stable(try_or_none(partial(str, value)) or "")
    if not {str(nodes), str(edges)} <= set(re.findall(r"\d+", said)):
        said = f"{type_name(value)} with {plural(nodes, 'node')} and {plural(edges, 'edge')}"
    lines = [said]
    if is_from_library(value, "networkx"):
        directed = "directed" if value.is_directed() else "undirected"
        lines = [f"{lines[0]} ({directed})"]
        lines += _listed("nodes", nodes, value.nodes(data=True), lambda node: _with(brief(node[0]), node[1]))
        arrow = " → " if value.is_directed() else " – "
        lines += _listed("edges", edges, value.edges(data=True), partial(_edge, arrow=arrow))
    elif hasattr(type(value), "edge_list"):  # rustworkx
        lines += _listed("nodes", nodes, value.nodes(), brief)
        lines += _listed("edges", edges, value.weighted_edge_list(), brief)
    return form("\n".join(lines), room.summary)


def _listed(word: str, count: int, elements: Iterable[Any], text: Callable[[Any], str]) -> list[str]:
    shown = [short(text(each), MAX_ELEMENT_CHARACTERS) for each in itertools.islice(elements, MAX_LISTED)]
    more = [f"… {count:,} in all"] if count > len(shown) else []
    return [f"{word}: {', '.join([*shown, *more])}"] if shown else []


def _edge(edge: tuple[Any, Any, dict[str, Any]], *, arrow: str) -> str:
    return _with(f"{brief(edge[0])}{arrow}{brief(edge[1])}", edge[2])


def _with(text: str, data: dict[str, Any]) -> str:
    return f"{text} {brief(data)}" if data else text
