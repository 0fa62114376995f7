"""Custom forms of values in a prompt: a class's `_repr_claude_()`, or a function registered for a type.

Either gives text, a content block in wire form, or a list of these; None means: show the value as usual.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any, overload

from ...content.parts import Part, Room, Text, shortened
from ...content.safely import TookTooLong, one_line, type_name
from ...content.text import short
from ...errors import ClaudeError, UnshowableError, UsageError
from . import wire_blocks

Show = Callable[[Any], Any]

# The registry of the process, so that a library can register without a notebook.
_BY_TYPE: dict[type, Show] = {}
_BY_NAME: dict[str, Show] = {}


@overload
def show_as(kind: type | str) -> Callable[[Show], Show]: ...


@overload
def show_as(kind: type | str, function: Show | None) -> Show | None: ...


def show_as(kind: type | str, function: Any = ...) -> Any:
    """Set what Claude sees of values of a type: `show_as(Molecule, lambda molecule: molecule.formula)`.

    `kind` is a type, or its name as `"module.Class"`, which imports nothing. `function` takes a value and returns
    text, a content block in wire form, or a list of these; or None, to show the value as usual. It holds for
    subclasses too; the function of the nearest type is used. Without `function` this is a decorator; with None it
    removes what is registered. Returns the function registered before, or None.

    Raises:
        UsageError: `kind` is not a type or the name of one, or `function` is not callable.
    """
    if function is ...:
        return lambda decorated: (show_as(kind, decorated), decorated)[1]
    if function is not None and not callable(function):
        raise UsageError(f"show_as wants a function, not {type_name(function)}.", advice="None takes one back.")
    if isinstance(kind, type):
        return _replace(_BY_TYPE, kind, function)
    if isinstance(kind, str) and "." in kind and all(map(str.isidentifier, kind.split("."))):
        return _replace(_BY_NAME, kind, function)
    raise UsageError(f"show_as wants a type, not {short(repr(kind), 60)}.", advice='Or its name, as "module.Class".')


def _replace(registered: dict[Any, Show], kind: Any, function: Show | None) -> Show | None:
    former = registered.pop(kind, None)
    if function is not None:
        registered[kind] = function
    return former


def _registered(value: Any) -> Show | None:
    """The function registered for the nearest class in a value's MRO, or None."""
    for kind in type(value).__mro__:
        if kind in _BY_TYPE:
            return _BY_TYPE[kind]
        for name in _BY_NAME:
            module, _, attribute = name.rpartition(".")
            if f"{kind.__module__}.{kind.__qualname__}" == name:
                return _BY_NAME[name]
            if vars(sys.modules.get(module, object)).get(attribute) is kind:
                return _BY_NAME[name]
    return None


def _own(value: Any) -> Show | None:
    """A value's `_repr_claude_`, if its class has one: a mock, which answers to every attribute, has none."""
    if isinstance(value, type) or not hasattr(type(value), "_repr_claude_"):
        return None
    return lambda shown: shown._repr_claude_()


def shows_itself(value: Any) -> bool:
    """Whether a value has a registered function or a `_repr_claude_`."""
    return (_registered(value) or _own(value)) is not None


def shown(value: Any, name: str, room: Room) -> list[Part] | None:
    """The custom form of a value, within its room; None if it has none, or if its function fails, with a warning.

    Raises:
        UnshowableError: the function gives neither text nor a valid content block.
        ClaudeError: the function raised it.
    """
    for source, function in (("The function of show_as", _registered(value)), ("_repr_claude_", _own(value))):
        if function is None:
            continue
        who = f"{source} for {type_name(value)}"
        try:
            given = function(value)
        except (KeyboardInterrupt, TookTooLong):
            raise
        except ClaudeError as error:
            given = error
        except BaseException as error:
            warnings.warn(f"{who} failed: {one_line(error)}. Claude sees another form.", stacklevel=2)
            continue
        if isinstance(given, ClaudeError):
            raise given
        if given is not None:
            return _parts(given, who, room)
    return None


def _parts(given: Any, who: str, room: Room) -> list[Part]:
    elements = list(given) if isinstance(given, list | tuple) else [given]
    parts: list[Part] = []
    for element in elements:
        if isinstance(element, str):
            text = shortened(str.__str__(element), room.share(len(elements)).summary)
            parts.append(Text(text, own_lines=len(elements) > 1))
        elif isinstance(element, Mapping):
            parts.append(_block(element, who, room.share(len(elements))))
        else:
            raise _no_block(who, f"{type_name(element)}, which is neither text nor a content block")
    return parts


def _no_block(who: str, what: str) -> UnshowableError:
    advice = "It may give text, a block such as {'type': 'text', 'text': …}, or a list of these. Nothing was sent."
    return UnshowableError(f"{who} gives {what}.", advice=advice)


def _block(given: Mapping[str, Any], who: str, room: Room) -> Part:
    """A content block in wire form. Raises `UnshowableError` for one that the API would refuse."""
    try:
        return wire_blocks.part(given, Room(room.summary, room.summary))
    except wire_blocks.NoBlock as error:
        fault = str(error)
    raise _no_block(who, fault)
