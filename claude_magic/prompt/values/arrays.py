"""Deterministic text summaries of NumPy arrays: shape, dtype, range, and the values in one corner."""

from __future__ import annotations

import sys
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

    label = f" {name}" if len(name) <= MAX_NAME_CHARACTERS and "\n" not in name else ""
    lines = [f"{type_name(value)}{label}: shape {value.shape}, {short(str(value.dtype), MAX_TYPE_CHARACTERS)}"]
    seen, mask = _seen(value)
    if seen.size > MAX_SCANNED_VALUES:
        lines.append("range not computed: too many values")
    elif seen.size or mask is not None:
        known = seen.compressed() if mask is not None and not seen.dtype.names else seen
        facts = (try_or_none(partial(_facts, known)) or []) if known.size else []
        if mask is not None:
            facts.append(_masked_count(mask))
        lines.extend([", ".join(facts)] if facts else [])
    lines.extend(_values(seen))
    return shortened("\n".join(lines), room)


def _seen(value: Any) -> tuple[Any, Any]:
    """An array without the class of a library's own, and its mask; None if it has none."""
    import numpy

    own_mask: Any = getattr(value, "mask", None)
    if not isinstance(value, numpy.ma.MaskedArray) and hasattr(value, "unmasked") and own_mask is not None:  # astropy
        value = numpy.ma.MaskedArray(numpy.asarray(value.unmasked), numpy.asarray(own_mask))
    if not isinstance(value, numpy.ma.MaskedArray):
        return value.view(numpy.ndarray), None
    seen = numpy.ma.MaskedArray(value.data.view(numpy.ndarray), numpy.ma.getmaskarray(value))
    return seen, seen.mask


def _masked_count(mask: Any) -> str:
    """How many values are masked; of records, how many of their fields."""
    import numpy

    if not mask.dtype.names:
        return f"{int(numpy.count_nonzero(mask)):,} masked"
    fields = [(name, mask[name]) for name in mask.dtype.names]
    return ", ".join(f"{int(numpy.count_nonzero(field.view(bool))):,} of {name} masked" for name, field in fields)


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
    if isinstance(corner, numpy.ma.MaskedArray):
        corner = _with_marks(corner)
    formatter: Any = {"object": _element, "numpystr": lambda text: repr(short(str(text), MAX_CELL_CHARACTERS))}
    printed: Any = _PRINTED
    with numpy.printoptions(**printed, threshold=sys.maxsize, formatter=formatter):
        return [*heading, str(numpy.array2string(corner, separator=", "))]


class _Printed:
    """A cell of a masked array as it is printed."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _with_marks(corner: Any) -> Any:
    """A masked array as one of texts, `--` where it is masked: NumPy's own would show what is behind the mask."""
    import numpy

    cells = numpy.empty(corner.shape, dtype=object)
    for place in numpy.ndindex(corner.shape):
        hidden = not corner.dtype.names and bool(corner.mask[place])
        cell = corner[place] if corner.dtype.names else corner.data[place]
        cells[place] = _Printed("--" if hidden else _printed(cell))
    return cells


def _printed(value: Any) -> str:
    import numpy

    if isinstance(value, numpy.floating | numpy.complexfloating):
        return f"{value:.6g}"
    if isinstance(value, str):
        return repr(short(str(value), MAX_CELL_CHARACTERS))
    if isinstance(value, bytes):
        return _element(bytes(value))
    return str(value) if isinstance(value, numpy.generic | numpy.ma.core.mvoid) else _element(value)


def _element(value: Any) -> str:
    """An element of an object array on one short line."""
    text = try_or_none(partial(repr, value)) or f"<{type_name(value)} object>"
    return short_line(stable(text[: 10 * MAX_CELL_CHARACTERS]), MAX_CELL_CHARACTERS)
