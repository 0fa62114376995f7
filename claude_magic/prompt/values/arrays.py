"""Deterministic text summaries of NumPy arrays: shape, dtype, range, and the values in one corner."""

from __future__ import annotations

import sys
import warnings
from functools import partial
from typing import Any

from ...content.parts import shortened
from ...content.safely import try_or_none, type_name
from ...content.stable_text import stable
from ...content.text import short, short_line

MAX_NAME_CHARACTERS = 40
MAX_TYPE_CHARACTERS = 200
MAX_CELL_CHARACTERS = 60

# 10 million numbers take about 50 ms; for larger arrays the range is left out.
MAX_SCANNED_VALUES = 200_000_000
# Up to here all values are shown; of larger arrays a corner.
MAX_WHOLE_VALUES = 200
_CORNER = {1: (20,), 2: (8, 8), 3: (3, 6, 6)}
_PRINTED = {"precision": 6, "suppress": False, "floatmode": "maxprec", "sign": "-", "linewidth": 120}


def is_array(value: Any) -> bool:
    """Whether this is a NumPy array with at least one dimension."""
    module = sys.modules.get("numpy")
    return module is not None and isinstance(value, module.ndarray) and value.ndim > 0


def summary(value: Any, name: str, room: int) -> str:
    """A summary of an array in at most `room` bytes: shape, dtype, range, and its values or a corner of them."""
    import numpy

    label = f" {name}" if len(name) <= MAX_NAME_CHARACTERS and "\n" not in name else ""
    lines = [f"{type_name(value)}{label}: shape {value.shape}, {short(str(value.dtype), MAX_TYPE_CHARACTERS)}"]
    masked = isinstance(value, numpy.ma.MaskedArray)
    plain = value if masked else value.view(numpy.ndarray)
    if plain.size > MAX_SCANNED_VALUES:
        lines.append("range not computed: too many values")
    elif plain.size:
        facts = try_or_none(partial(_facts, plain)) or []
        if masked:
            facts.append(f"{int(numpy.ma.getmaskarray(plain).sum()):,} masked")
        lines.extend([", ".join(facts)] if facts else [])
    lines.extend(_values(plain))
    return shortened("\n".join(lines), room)


def _facts(array: Any) -> list[str]:
    import numpy

    kind = array.dtype.kind
    if kind == "b":
        return [f"{int(numpy.count_nonzero(array)):,} of {array.size:,} True"]
    if kind in "iu":
        return [f"min {array.min()}", f"max {array.max()}", f"mean {array.mean(dtype='float64'):.6g}"]
    if kind in "mM":
        return _range(array, int(numpy.count_nonzero(numpy.isnat(array))), "NaT")
    if kind == "c":
        return [f"{int(numpy.count_nonzero(numpy.isnan(array))):,} NaN"]
    if kind == "f":
        return _float_facts(array)
    return []


def _float_facts(array: Any) -> list[str]:
    """Range and mean of the floats that are not NaN, with the counts of NaN and of infinite values."""
    import numpy

    missing = int(numpy.count_nonzero(numpy.isnan(array)))
    facts = _range(array, missing, "NaN")
    if missing == array.size:
        return facts
    with numpy.errstate(all="ignore"):
        total = numpy.nansum(array, dtype="float64") if missing else array.sum(dtype="float64")
        infinite = int(numpy.count_nonzero(numpy.isinf(array)))
    facts.insert(2, f"mean {float(total) / (array.size - missing):.6g}")
    return [*facts, *([f"{infinite:,} infinite"] if infinite else [])]


def _range(array: Any, missing: int, word: str) -> list[str]:
    import numpy

    found = []
    if missing < array.size:
        low, high = numpy.fmin.reduce(array, axis=None), numpy.fmax.reduce(array, axis=None)
        found = [f"min {_number(low)}", f"max {_number(high)}"]
    return [*found, f"{missing:,} {word}"]


def _number(value: Any) -> str:
    return f"{float(value):.6g}" if value.dtype.kind == "f" else str(value)


def _values(array: Any) -> list[str]:
    """All of a small array, or a corner of it with a line that says so."""
    import numpy

    corner = array
    heading = []
    if array.size > MAX_WHOLE_VALUES:
        extent = _CORNER.get(array.ndim) or (1,) * (array.ndim - 3) + (3, 6, 6)
        corner = array[tuple(slice(0, count) for count in extent)]
        shape = " × ".join(map(str, corner.shape))
        heading = [f"first {shape} values:"]
    formatter: Any = {"object": _element, "numpystr": lambda text: repr(short(str(text), MAX_CELL_CHARACTERS))}
    printed: Any = _PRINTED
    with warnings.catch_warnings(), numpy.printoptions(**printed, threshold=sys.maxsize, formatter=formatter):
        warnings.simplefilter("ignore")  # numpy warns of how it formats masked values
        return [*heading, str(numpy.array2string(corner, separator=", "))]


def _element(value: Any) -> str:
    """An element of an object array on one short line."""
    text = try_or_none(partial(repr, value)) or f"<{type_name(value)} object>"
    return short_line(stable(text[: 10 * MAX_CELL_CHARACTERS]), MAX_CELL_CHARACTERS)
