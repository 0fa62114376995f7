"""Convert `typing.TypedDict` to that of typing_extensions, which pydantic needs before Python 3.12."""

from __future__ import annotations

import sys
import types
import typing
from typing import Any


def with_extended_typed_dicts(hint: Any) -> Any:
    """A type hint with `typing.TypedDict` replaced, nested ones too; descriptions are kept."""
    if sys.version_info >= (3, 12):
        return hint
    if typing.is_typeddict(hint) and type(hint).__module__ == "typing":
        return _extended_dict(hint)
    arguments = typing.get_args(hint)
    made = tuple(map(with_extended_typed_dicts, arguments))
    if not arguments or all(new is old for new, old in zip(made, arguments, strict=True)):
        return hint
    origin: Any = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return typing.Union[made]  # noqa: UP007  # of types that are only known now
    return typing.Annotated[made[0], *hint.__metadata__] if origin is typing.Annotated else origin[made]


def _extended_dict(hint: Any) -> Any:
    import typing_extensions

    fields = {}
    for name, inner in typing.get_type_hints(hint, include_extras=True).items():
        # For annotations that are text, only the resolved hints know `NotRequired`.
        marker: Any = typing.Required if name in hint.__required_keys__ else typing.NotRequired
        while typing.get_origin(inner) in (typing.Required, typing.NotRequired):
            marker, (inner,) = typing.get_origin(inner), typing.get_args(inner)
        fields[name] = marker[with_extended_typed_dicts(inner)]
    made: Any = typing_extensions.TypedDict(hint.__name__, fields)  # type: ignore[misc]
    made.__doc__ = hint.__doc__
    return made
