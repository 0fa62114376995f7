"""Arguments of `ask()`: the options of `%%claude` under their Python names, checked as a cell's are.

An option's value is text in a cell. Here it may be any object that stands for it: a number, a list, a function for
`tools`, a type for `schema`, a figure for `image`. An object without a text gets a name, and the text is that name.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from ... import options
from ...errors import UsageError
from ...options import Options

if TYPE_CHECKING:
    from ...tools.structured_output import Shape

# Options that are of a cell only: they bind, add or print something there, or are for `{{…}}`.
NOT_TAKEN = ("raw", "out", "code", "count", "show_request", "show_code")
FIELDS = {field.name: field for field in options.FIELDS if field.name not in NOT_TAKEN}
_ATTACHED = ("image", "file")


@dataclasses.dataclass(frozen=True)
class Arguments:
    """The arguments of a call: its options, the names of the objects in them, and the type of the reply."""

    options: Options
    names: dict[str, Any]
    shape: Shape | None


def read(given: Mapping[str, Any], defaults: Options, namespace: Mapping[str, Any]) -> Arguments:
    """Read the options of a call; None is an option that is not given. `namespace` has the names that texts may name.

    Raises `UsageError` for an unknown option and for an invalid value.
    """
    names = dict(namespace)
    found: dict[str, Any] = {}
    shape = None
    for name, value in given.items():
        field = FIELDS.get(name)
        if field is None:
            raise _unknown(name)
        if value is None:
            continue
        if name == "schema":
            found[name], shape = _shape(value, names)
        elif name == "tools":
            found[name] = _tools(field, value, names)
        elif name in _ATTACHED:
            found[name] = tuple(_word(each, name, names) for each in _listed(value))
        else:
            found[name] = _value(field, value)
    return Arguments(dataclasses.replace(defaults, **found), names, shape)


def label(value: Any, namespace: Mapping[str, Any], otherwise: str) -> str:
    """The variable that holds an object, if there is one: its name in the prompt and in the turn's header."""
    if isinstance(value, str | bytes | int | float | complex | type(None)):  # two of these may be one by chance
        return otherwise
    found = (name for name, held in list(namespace.items()) if held is value and name.isidentifier())
    return next((name for name in found if not name.startswith("_")), otherwise)


def parameters() -> list[inspect.Parameter]:
    """The options as keyword parameters, for the signature of `ask`."""
    return [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in FIELDS]


def _unknown(name: str) -> UsageError:
    if name in NOT_TAKEN:
        return UsageError(f"ask() does not take {name}: it is an option of %%claude cells.")
    close = difflib.get_close_matches(name, [*FIELDS, "show"], n=1)
    meant = f"Did you mean {close[0]}?" if close else "help(ask) lists them."
    return UsageError(f"ask() has no option {name}.", advice=meant)


def _value(field: dataclasses.Field[Any], value: Any) -> Any:
    about = field.metadata
    if not about["metavar"]:
        if not isinstance(value, bool):
            raise UsageError(f"{field.name} is True or False, not {_quoted(value)}.")
        return value
    if about["repeat"]:
        return tuple(options.value_of(field, field.name, _text(field, each)) for each in _listed(value))
    if field.name == "system":
        return _text(field, value).replace("{{", r"\{{")  # a value is inert
    return options.value_of(field, field.name, _text(field, value))


def _text(field: dataclasses.Field[Any], value: Any) -> str:
    """The text that stands for a value on a cell's line. Raises `UsageError` if there is none."""
    if isinstance(value, str):
        return str(value)
    is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    if not is_number or field.metadata["parse"] is options.parse_text or field.name in ("model", "fallback"):
        raise UsageError(f"{field.name} cannot be {_quoted(value)}.", advice=f"It is {field.metadata['help']}.")
    return f"{Decimal(str(value)):f}" if Decimal(str(value)).is_finite() else str(value)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _word(value: Any, name: str, names: dict[str, Any]) -> str:
    """A word of `--image` or `--file`: text as it is typed there, and any other object as an expression."""
    if isinstance(value, str) and value and not value.startswith("{{"):
        return value
    if isinstance(value, PurePath):
        return _expression(value, value.name, names)
    return _expression(value, label(value, names, name), names)


def _expression(value: Any, wanted: str, names: dict[str, Any]) -> str:
    return f"{{{{{_named(value, wanted if wanted.isidentifier() else 'value', names)}}}}}"


def _named(value: Any, wanted: str, names: dict[str, Any]) -> str:
    """A name for an object: the wanted one, with a number behind it where that is another object's."""
    name, number = wanted, 1
    while name in names and names[name] is not value:
        number += 1
        name = f"{wanted}_{number}"
    names[name] = value
    return name


def _tools(field: dataclasses.Field[Any], value: Any, names: dict[str, Any]) -> str:
    found = []
    for each in _listed(value):
        if isinstance(each, str):
            found.append(options.value_of(field, "tools", each))
            continue
        own = getattr(each, "name", None) or getattr(each, "__name__", None)
        name = own if isinstance(own, str) and own.isidentifier() else label(each, names, "")
        if not name:
            raise UsageError(f"tools: {_quoted(each)} has no name.", advice="A tool is a function with a name.")
        names[name] = each
        found.append(name)
    if not found:
        raise UsageError("tools is empty.", advice="Leave it out, or name a function.")
    return ",".join(found)


def _shape(value: Any, names: Mapping[str, Any]) -> tuple[str, Shape]:
    from ...tools import structured_output

    if isinstance(value, str):
        return value, structured_output.shape_of(value, names)
    own = getattr(value, "__name__", "") if isinstance(value, type) else ""
    otherwise = "the schema" if isinstance(value, Mapping) else str(value).replace("__main__.", "")
    name = own or label(value, names, otherwise)
    return name, structured_output.shape_of_value(value, name)


def _quoted(value: Any) -> str:
    from ...content.safely import try_or_none
    from ...content.text import short_line

    return short_line(try_or_none(lambda: repr(value)) or type(value).__name__, 60)


def values(given: Iterable[Any], names: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The values of a call, each with its name."""
    return [(label(value, names, "text" if isinstance(value, str) else "value"), value) for value in given]
