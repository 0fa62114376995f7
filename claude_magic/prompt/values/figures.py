"""Figures of matplotlib, seaborn, plotly and altair → images; a chart that cannot be drawn → its specification."""

from __future__ import annotations

import importlib
import importlib.util
import io
import itertools
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from ...content.images import MAX_IMAGE_SIDE_PIXELS, Block, image_block
from ...content.parts import Part, Room, Text, shortened
from ...content.safely import is_from_library, one_line, try_or_none, type_name
from ...content.text import byte_length

# How many times its own size a figure may grow to hold what is drawn outside of it: legends, long labels.
MAX_FIGURE_GROWTH = 3
FIGURE_PADDING_INCHES = 0.1
# The canvas side that every supported matplotlib can make (before 3.10: less than 2^16).
MAX_LAYOUT_PIXELS = 2**16
# At most so many elements of an array of axes are looked at.
MAX_AXES = 1_000

# A chart with more data than this is described as text, not drawn: its data would go through JSON.
MAX_DRAWN_ROWS = 100_000
MAX_LISTED_VALUES = 10
MAX_TRACES = 20


# matplotlib and seaborn


def _parts_of(value: Any) -> Iterator[Any]:
    """The elements of a NumPy array of objects, such as axes, or of a container of artists; else the value itself."""
    if is_container(value):
        yield from _artists_in(value)
    elif is_from_library(value, "numpy") and str(getattr(value, "dtype", "")) == "object":
        yield from list(value.flat[:MAX_AXES])
    else:
        yield value


def is_container(value: Any) -> bool:
    """Whether a value is a collection of matplotlib with artists in it, as `bar`, `errorbar` and `pie` return."""
    artists = sys.modules.get("matplotlib.artist")
    if artists is None or not is_from_library(value, "matplotlib") or artists.Artist in type(value).__mro__:
        return False
    return any(True for _ in _artists_in(value))


def _artists_in(value: Any) -> Iterator[Any]:
    """The artists in a collection and in the lists and tuples within it."""
    artist = sys.modules["matplotlib.artist"].Artist
    if isinstance(value, Mapping):
        inside = value.values()
    else:
        inside = value if hasattr(type(value), "__iter__") else vars(value).values()
    for each in itertools.islice(inside, MAX_AXES):
        if isinstance(each, list | tuple):
            yield from _artists_in(each)
        elif isinstance(each, artist) and each.figure is not None:
            yield each


def _figure_of(value: Any) -> Any:
    """The matplotlib figure that a value is or belongs to (axes, lines and other artists, colour bars, animations,
    seaborn's grids), or None."""
    module = sys.modules.get("matplotlib.figure")
    if module is None:
        return None
    if isinstance(value, module.FigureBase):
        return value.figure
    artists: Any = sys.modules["matplotlib.artist"]
    owner: Any = None
    if isinstance(value, artists.Artist) or is_from_library(value, "seaborn"):
        owner = getattr(value, "figure", None)
    elif is_from_library(value, "matplotlib"):  # a colour bar has axes, an animation a figure
        parts = [getattr(value, name, None) for name in ("figure", "_fig", "ax")]
        owner = next((getattr(part, "figure", None) for part in parts if isinstance(part, artists.Artist)), None)
    return owner.figure if isinstance(owner, module.FigureBase) else None


def figures_of(value: Any) -> list[Any]:
    """The matplotlib figures of a value or of an array of axes; empty if any element has none."""
    found = {id(figure): figure for figure in map(_figure_of, _parts_of(value))}
    return [] if None in found.values() else list(found.values())


def is_figure(value: Any) -> bool:
    """Whether a value is a matplotlib figure, belongs to one, or is an array of such objects."""
    return bool(figures_of(value))


def drawn_for(value: Any) -> list[Any]:
    """The figures and charts that are drawn for a value: the figures that it belongs to, or itself if it is a chart."""
    return figures_of(value) or ([value] if is_chart(value) else [])


def figure_blocks(value: Any) -> list[Block]:
    """Image blocks of a value's matplotlib figures, as the reader sees them; the figures are not changed."""
    return [_drawn(figure) for figure in figures_of(value)]


def _drawn(figure: Any) -> Block:
    extent = _extent(figure)
    # The figure's own dpi, as the reader sees it: savefig sets it only for the time of the drawing.
    dpi = min(figure.dpi, MAX_IMAGE_SIDE_PIXELS / max(extent.size))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, bbox_inches=extent)
    return image_block(buffer.getvalue())


def _extent(figure: Any) -> Any:
    """The area to draw of a figure, as a box in inches."""
    # The layout needs a canvas of the figure's size.
    if max(figure.bbox.size) >= MAX_LAYOUT_PIXELS:
        return figure.bbox_inches
    figure.draw_without_rendering()  # computes the layout
    extent = figure.get_tightbbox().padded(FIGURE_PADDING_INCHES)
    # An artist far outside, by a mistaken coordinate, would make an image of gigabytes.
    return extent if max(extent.size / figure.get_size_inches()) <= MAX_FIGURE_GROWTH else figure.bbox_inches


# plotly and altair


def is_chart(value: Any) -> bool:
    """Whether a value is a plotly figure or an altair chart."""
    plotly, altair = sys.modules.get("plotly.basedatatypes"), sys.modules.get("altair")
    return (plotly is not None and isinstance(value, plotly.BaseFigure)) or (
        altair is not None and isinstance(value, altair.TopLevelMixin)
    )


PLOTLY = "application/vnd.plotly.v1+json"


def plotly_figure(displayed: Mapping[str, Any]) -> Any:
    """The plotly figure in a displayed output (a MIME bundle, as `figure.show()` gives); None if it has none."""
    if PLOTLY not in displayed:
        return None
    given = displayed[PLOTLY]
    return importlib.import_module("plotly.graph_objects").Figure(
        {"data": given["data"], "layout": given["layout"]}, skip_invalid=True
    )


def chart(value: Any, name: str, room: Room) -> list[Part]:
    """A chart as an image; one that cannot be drawn as its description in text, with the reason."""
    draw, describe = (_plotly_png, _plotly) if is_from_library(value, "plotly") else (_altair_png, _altair)
    try:
        return [image_block(draw(value))]
    except Exception as error:
        reason = str(error) if isinstance(error, _NotDrawn) else one_line(error)
    title = f"{type_name(value)} {name} ({type(value).__module__.partition('.')[0]}), as text: {reason}"
    lines = [title, *(try_or_none(lambda: list(describe(value, room.summary - byte_length(title)))) or [])]
    return [Text(shortened("\n".join(lines), room.summary), own_lines=True)]


class _NotDrawn(Exception):
    """A chart cannot be drawn; the message says why."""


def _needs(package: str, module: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise _NotDrawn(f"{package}, which draws it, is not installed")


def _plotly_png(figure: Any) -> bytes:
    _needs("kaleido", "kaleido")
    if sum(_length(values) for trace in figure.data for values in trace.to_plotly_json().values()) > MAX_DRAWN_ROWS:
        raise _NotDrawn(f"it has more than {MAX_DRAWN_ROWS:,} values")
    return bytes(figure.to_image(format="png"))


def _length(values: Any) -> int:
    shape = getattr(values, "shape", None)
    if shape is not None:
        return int(shape[0]) if shape else 0
    return len(values) if isinstance(values, Sequence | Mapping) and not isinstance(values, str) else 0


def _plotly(figure: Any, room: int) -> Iterator[str]:
    """The layout and the traces of a plotly figure, without its theme."""
    layout = figure.layout.to_plotly_json()
    layout.pop("template", None)
    if layout:
        yield f"layout: {shortened(_brief(layout), room // 3)}"
    for trace in figure.data[:MAX_TRACES]:
        yield f"trace: {shortened(_brief(trace.to_plotly_json()), room // 2)}"
    if len(figure.data) > MAX_TRACES:
        yield f"… and {len(figure.data) - MAX_TRACES:,} more traces"


def _altair_png(chart: Any) -> bytes:
    _needs("vl-convert-python", "vl_convert")
    import vl_convert

    spec = _vega_lite(chart, _rows)
    if _names_address(spec):
        raise _NotDrawn("its data is at an address")
    version = ".".join(str(spec.get("$schema", "")).rpartition("/v")[2].split(".")[:2])
    return bytes(vl_convert.vegalite_to_png(spec, vl_version=version or None, allowed_base_urls=[]))


def _rows(data: Any) -> list[Any]:
    """The rows of a chart's data. Raises `_NotDrawn` if there are more than `MAX_DRAWN_ROWS`."""
    import altair

    if not isinstance(data, dict) and len(data) > MAX_DRAWN_ROWS:
        raise _NotDrawn(f"its data has more than {MAX_DRAWN_ROWS:,} rows")
    return list(altair.to_values(data)["values"])


def _vega_lite(chart: Any, rows: Callable[[Any], list[Any]]) -> dict[str, Any]:
    """A chart as Vega-Lite JSON; `rows` converts each of its tables to rows."""
    import altair

    transformers = altair.data_transformers
    before, name = transformers.names(), "claude_magic"
    transformers.register(name, lambda data=None, **options: {"values": rows(data)})
    try:
        with transformers.enable(name, consolidate_datasets=False):
            return dict(chart.to_dict())
    finally:
        if name not in before:
            transformers.register(name, None)


def _names_address(spec: Any) -> bool:
    """Whether a chart's specification has a URL: no data is fetched to draw a chart."""
    if isinstance(spec, Mapping):
        return isinstance(spec.get("url"), str) or any(map(_names_address, spec.values()))
    return isinstance(spec, list) and any(map(_names_address, spec))


def _altair(chart: Any, room: int) -> Iterator[str]:
    """The specification of an altair chart as Vega-Lite without its data, and a summary of each data frame."""
    from . import dataframes

    tables: list[Any] = []

    def set_aside(data: Any) -> list[Any]:
        if not any(data is known for known in tables):
            tables.append(data)
        return []

    spec = _vega_lite(chart, set_aside)
    shown = {key: value for key, value in spec.items() if key not in ("$schema", "config", "data", "datasets")}
    yield f"Vega-Lite: {shortened(_brief(shown), room // 2)}"
    frames = [table for table in tables if dataframes.is_frame(table)]
    for table in frames:
        yield dataframes.summary(table, "data", room // 2 // len(frames))


def _brief(value: Any) -> str:
    """A chart's specification as JSON, with long lists of data cut."""
    return json.dumps(_cut(value), ensure_ascii=False, default=partial(_short_string, limit=200))


def _cut(value: Any, depth: int = 12) -> Any:
    if depth == 0:
        return "…"
    if isinstance(value, Mapping):
        return {str(key): _cut(each, depth - 1) for key, each in value.items()}
    if hasattr(value, "tolist") and hasattr(value, "shape"):
        return _cut_list(value[:MAX_LISTED_VALUES].tolist() if value.shape else value.tolist(), _length(value), depth)
    if isinstance(value, list | tuple):
        return _cut_list(value[:MAX_LISTED_VALUES], len(value), depth)
    return value


def _cut_list(start: Any, count: int, depth: int) -> Any:
    if not isinstance(start, list | tuple):
        return start
    more = [f"… {count:,} in all"] if count > len(start) else []
    return [*(_cut(each, depth - 1) for each in start), *more]


def _short_string(value: Any, limit: int) -> str:
    return shortened(try_or_none(partial(str, value)) or type_name(value), limit)
