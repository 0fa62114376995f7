"""What arrays become: of a masked one, nothing of what its mask hides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import pytest

from support.prompt_blocks import text

MASKED: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: numpy.ma.masked_less([-9999.0, 1, 2, 3], 0),
        "shape (4,), float64\nmin 1, max 3, mean 2, 0 NaN, 1 masked\n[--, 1, 2, 3]",
    ),
    (
        lambda: numpy.ma.masked_array([True, True, False], mask=[1, 0, 0]),
        "shape (3,), bool\n1 of 2 True, 1 masked\n[--, True, False]",
    ),
    (lambda: numpy.ma.masked_all((3,)), "shape (3,), float64\n3 masked\n[--, --, --]"),
    (
        lambda: numpy.ma.masked_invalid([1, numpy.nan, 3]),
        "shape (3,), float64\nmin 1, max 3, mean 2, 0 NaN, 1 masked\n[1, --, 3]",
    ),
    (
        lambda: numpy.ma.masked_array([1 + 1j, 2], mask=[0, 1]),
        "shape (2,), complex128\n0 NaN, 1 masked\n[1+1j, --]",
    ),
    (
        lambda: numpy.ma.masked_array(["a", "b"], mask=[0, 1]),
        "shape (2,), <U1\n1 masked\n['a', --]",
    ),
    (
        lambda: numpy.ma.masked_array(numpy.array(["2026-01-02", "1900-01-01"], "M8[D]"), mask=[0, 1]),
        "shape (2,), datetime64[D]\nmin 2026-01-02, max 2026-01-02, 0 NaT, 1 masked\n[2026-01-02, --]",
    ),
    (
        lambda: numpy.ma.masked_array([(1, 2.0)], dtype=[("a", "i8"), ("b", "f8")], mask=[(0, 1)]),
        "shape (1,), [('a', '<i8'), ('b', '<f8')]\n0 of a masked, 1 of b masked\n[(1, --)]",
    ),
    (lambda: numpy.ma.masked_array([], mask=[]), "shape (0,), float64\n0 masked\n[]"),
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("make", "expected"), MASKED)
def test_nothing_shows_through_a_mask(make: Callable[[], Any], expected: str) -> None:
    value = make()
    assert text("{{value}}", value=value) == f"MaskedArray value: {expected}"
    assert text("{{value}}", value=[value]).splitlines()[0].startswith("MaskedArray value[0]: shape")


def test_the_corner_of_a_large_masked_array_shows_its_mask() -> None:
    shown = text("{{value}}", value=numpy.ma.masked_greater(numpy.arange(1_000).reshape(10, 100), 102))
    assert "min 0, max 102, mean 51, 897 masked\nfirst 8 × 8 values:\n" in shown
    assert "[100, 101, 102, --, --, --, --, --]" in shown


def test_a_class_of_its_own_with_a_mask_is_masked_as_well() -> None:
    class Readings(numpy.ma.MaskedArray):  # type: ignore[type-arg]
        pass

    value = numpy.ma.masked_array([1, -5.0], mask=[0, 1]).view(Readings)
    assert text("{{value}}", value=value).endswith("min 1, max 1, mean 1, 0 NaN, 1 masked\n[1, --]")
