"""Any Python value → parts of a prompt, by the first kind in `_KINDS` that accepts the value and does not fail.

An exception or endless loop in the value's class does not stop the cell: the next, plainer kind is tried. A new kind of
value is two functions and their row in `_KINDS`.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ...content import images
from ...content.images import Block
from ...content.parts import Part, Room, Text, on_own_lines, shortened, size_of
from ...content.safely import TookTooLong, at_most, one_line, try_or_none, type_name
from ...content.stable_text import brief
from ...content.text import join_line, short_line
from ...errors import PromptError, UnshowableError
from . import arrays, dataframes, figures, files, plain, show_as, wire_blocks
from .formats import logs
from .libraries import graphs, groups, models

# Time limits for showing a value and for drawing a figure, both far above what is normal.
MAX_SECONDS = 10.0
MAX_DRAWING_SECONDS = 60.0

# Limits for a list or mapping whose elements are shown one by one: elements, and levels of nesting.
MAX_ELEMENTS = 20
MAX_DEPTH = 3
MAX_KEY_CHARACTERS = 60


@dataclass(frozen=True)
class Kind:
    """A kind of value: `matches` tests a value, `show(value, expression, room)` gives its parts.

    A `rich` element of a list or mapping is shown by itself, not in the list's text. `seconds` is the time limit.
    """

    matches: Callable[[Any], bool]
    show: Callable[[Any, str, Room], list[Part]]
    rich: bool = True
    seconds: float = MAX_SECONDS


def render(value: Any, name: str, room: Room) -> list[Part]:
    """The parts of a prompt for a value; `name` is its expression, `room` the bytes that it may take.

    Raises:
        UnshowableError: no form of the value can be sent.
    """
    failure = ""
    for kind in _KINDS:
        try:
            with at_most(kind.seconds):
                if not kind.matches(value):
                    continue
                shown = kind.show(value, name, room)
        except (KeyboardInterrupt, UnshowableError):
            raise
        except TookTooLong as error:
            return [Text(f"<{type_name(value)} object: showing it took {error}>")]
        except BaseException as error:  # from the value's class, which may raise anything: try the next kind
            failure = one_line(error)
            continue
        if shown:
            return shown
    return [Text(f"<{type_name(value)} object: its repr failed: {failure}>")]


# Lists and mappings with elements that are shown by themselves


def _elements(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The first elements of a list or mapping, each with its expression, such as `name[0]`."""
    name = name if len(name) <= MAX_KEY_CHARACTERS and "\n" not in name else "value"
    pairs = dict.items(value) if isinstance(value, dict) else enumerate(value)
    for key, element in itertools.islice(pairs, MAX_ELEMENTS):
        label = try_or_none(partial(brief, key)) or f"<{type_name(key)} object>"
        yield f"{name}[{short_line(label, MAX_KEY_CHARACTERS)}]", element


def _is_nested(value: Any, within: tuple[int, ...]) -> bool:
    """Whether to look into a list or mapping. `within` are the ids of those around it: a list may contain itself."""
    listed = isinstance(value, list | tuple | dict) and not figures.is_container(value)
    return listed and len(within) < MAX_DEPTH and id(value) not in within


def _has_rich(value: Any, within: tuple[int, ...] = ()) -> bool:
    """Whether a value is a list or mapping with an element that is shown by itself."""
    if not _is_nested(value, within):
        return False
    return any(_is_rich(element, (*within, id(value))) for _, element in _elements(value, ""))


def _is_rich(value: Any, within: tuple[int, ...]) -> bool:
    """Whether an element is shown by itself: a figure, a frame, or a list of such."""
    for kind in _KINDS:
        with suppress(Exception):
            if kind.show is _collection:
                if _has_rich(value, within):
                    return True
            elif kind.matches(value):
                return kind.rich or (kind.show is plain.displayed and plain.has_picture(value))
    return False


def _collection(value: Any, name: str, room: Room) -> list[Part]:
    """A list or mapping with figures, frames and the like: its elements one by one, each with its expression."""
    return _one_by_one(value, name, room, (), {})


def _one_by_one(value: Any, name: str, room: Room, within: tuple[int, ...], drawn: dict[int, str]) -> list[Part]:
    """`drawn` has the figures that are shown already, by their ids, each with its label."""
    shown = list(_elements(value, name))
    parts: list[Part] = []
    left = room.summary
    for position, (label, element) in enumerate(shown):
        here = _element(element, label, Room(left, left).share(len(shown) - position), (*within, id(value)), drawn)
        left = max(0, left - size_of(here))
        parts.extend(here)
    if len(value) > len(shown):
        parts.append(Text(f"… and {len(value) - len(shown):,} more", own_lines=True))
    return parts


def _element(element: Any, label: str, room: Room, within: tuple[int, ...], drawn: dict[int, str]) -> list[Part]:
    """An element below its label; its lines are indented, so that none looks like the label of another element."""
    if not _is_rich(element, within):
        with at_most(MAX_SECONDS):
            text = plain.plain(element, room).text
        return [Text(f"{label}: {text}" if "\n" not in text else f"{label}:\n{_indented(text)}", own_lines=True)]
    if _has_rich(element, within):
        return _one_by_one(element, label, room, within, drawn)
    if known := _drawn_before(element, label, drawn):
        return [Text(f"{label}: {type_name(element)}, in the picture of {known}", own_lines=True)]
    try:
        shown = on_own_lines(render(element, label, room))
    except UnshowableError as error:  # the other elements are still sent
        return [Text(f"{label}: not shown: {join_line(error.message)}", own_lines=True)]
    if all(not isinstance(part, Text) and part.get("title") for part in shown):  # documents, which say what they are
        return shown
    if isinstance(shown[0], Text) and label in shown[0].text.partition("\n")[0]:  # its first line has the label
        title, _, rest = shown[0].text.partition("\n")
        return [Text(f"{title}\n{_indented(rest)}".rstrip(), own_lines=True), *shown[1:]]
    indented = [Text(_indented(part.text), own_lines=True) if isinstance(part, Text) else part for part in shown]
    return [Text(f"{label}:", own_lines=True), *indented]


def _drawn_before(element: Any, label: str, drawn: dict[int, str]) -> str:
    """The label of the picture that has all figures of an element; else empty, and they are noted under its own."""
    here = [] if show_as.shows_itself(element) else try_or_none(partial(figures.drawn_for, element)) or []
    known = {drawn.get(id(each), "") for each in here}
    if here and "" not in known:
        return " and ".join(sorted(known))
    drawn |= {id(each): label for each in here}
    return ""


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def shown_by_themselves(value: Any, within: tuple[int, ...] = ()) -> Iterator[Any]:
    """The objects that `render` shows by themselves for a value: itself, or what is in its lists and mappings; of axes
    and the like, their figures too."""
    if _has_rich(value, within):
        for _, element in _elements(value, ""):
            yield from shown_by_themselves(element, (*within, id(value)))
    else:
        yield value
        yield from try_or_none(partial(figures.drawn_for, value)) or ()


# The kinds


def _own_form(value: Any, name: str, room: Room) -> list[Part]:
    return show_as.shown(value, name, room) or []


def _frame(value: Any, name: str, room: Room) -> list[Part]:
    return [Text(dataframes.summary(value, name, room.summary), own_lines=True)]


def _array(value: Any, name: str, room: Room) -> list[Part]:
    return [Text(arrays.summary(value, name, room.summary), own_lines=True)]


def _figure(value: Any, name: str, room: Room) -> list[Part]:
    return list(figures.figure_blocks(value))


def _picture(value: Any, name: str, room: Room) -> list[Part]:
    return [images.image_block(value)]


def _picture_file(value: Any, name: str, room: Room) -> list[Part]:
    return [images.image_block(bytes(images.octets(value)))]


def _is_path(value: Any) -> bool:
    return isinstance(value, Path)


def _path(value: Path, name: str, room: Room) -> list[Part]:
    """The content of the file at a path, its text shortened to the room. A string is never taken as a path."""
    try:
        blocks = files.path_blocks(value)
    except PromptError as error:
        refused = UnshowableError(error.message, advice=f"{error.advice} {{{{str({name})}}}} sends the path itself.")
    else:
        return [_shortened_document(block, room.share(len(blocks))) for block in blocks]
    raise refused


def _shortened_document(block: Block, room: Room) -> Block:
    source = block.get("source", {})
    if block["type"] != "document" or source.get("type") != "text":
        return block
    data, is_log = source["data"], logs.is_log(str(block.get("title")), source["data"])
    return {**block, "source": {**source, "data": shortened(data, room.text, keep_end=is_log)}}


def _is_anything(value: Any) -> bool:
    return True


def _is_python_code(value: Any) -> bool:
    """Whether a value is a function or class with Python source, unlike `int` or `len`."""
    return plain.is_code(value) and (inspect.isfunction(value) or value.__module__ != "builtins")


# In the order of trial: the more specific first.
_KINDS: Sequence[Kind] = (
    Kind(show_as.shows_itself, _own_form),
    Kind(plain.is_string, plain.string, rich=False),
    Kind(wire_blocks.are_texts, wire_blocks.shown, rich=False),
    Kind(wire_blocks.are_blocks, wire_blocks.shown),
    Kind(images.is_picture_file, _picture_file),
    Kind(plain.is_bytes, plain.binary, rich=False),
    Kind(plain.is_scalar, plain.scalar, rich=False),
    Kind(_has_rich, _collection, seconds=MAX_DRAWING_SECONDS),
    Kind(_is_path, _path),
    Kind(plain.is_exception, plain.exception),
    Kind(_is_python_code, plain.code),
    Kind(plain.is_code, plain.code, rich=False),
    Kind(dataframes.is_frame, _frame),
    Kind(groups.is_grouped, groups.grouped),
    Kind(graphs.is_graph, graphs.graph),
    Kind(models.is_results, models.results),
    Kind(models.is_estimator, models.estimator),
    Kind(figures.is_figure, _figure, seconds=MAX_DRAWING_SECONDS),
    Kind(figures.is_chart, figures.chart, seconds=MAX_DRAWING_SECONDS),
    Kind(images.is_picture, _picture),
    Kind(arrays.is_array, _array),
    Kind(_is_anything, plain.displayed, rich=False),
)
