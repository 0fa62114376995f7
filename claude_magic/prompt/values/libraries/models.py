"""Fitted models → what they found: the summary of statsmodels' results, the fitted attributes of scikit-learn's."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

from ....content.parts import Part, Room, form
from ....content.safely import is_from_library, try_or_none, type_name
from ....content.stable_text import brief, stable
from ....content.text import join_line, short
from ..plain import only_classes

MAX_ATTRIBUTE_CHARACTERS = 400
MAX_PARTS = 12
# What an estimator finds, and may compute from its other attributes.
_COMPUTED = ("coef_", "intercept_", "feature_importances_")
# What gives the summary of results as text, or as a frame.
_SUMMARIES = ("as_text", "summary", "summary_frame")
# When a summary was made, which statsmodels puts into it.
_WHEN = re.compile(r"(?m)\b(Date:|Time:)(\s+)([A-Za-z]\S*, \d\d \S+ \d{4}|\d{4}-\d\d-\d\d \d\d:\d\d|\d\d:\d\d:\d\d)")


def is_results(value: Any) -> bool:
    """Whether a value is what statsmodels or a library like it (linearmodels, arch, lifelines) found, or a summary."""
    if isinstance(value, type) or not is_from_library(value, "statsmodels", "linearmodels", "arch", "lifelines"):
        return False
    return any(hasattr(value, name) for name in (*_SUMMARIES, "params"))


def results(value: Any, name: str, room: Room) -> list[Part]:
    """The summary of results without the time at which it is made; else their parameters; empty if there are none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tests that want more observations
        made = (try_or_none(partial(_summary, value, name)) for name in _SUMMARIES)
        text = next((text for text in made if text), "")
    if not text and hasattr(value, "params"):
        text = f"{type_name(value)}, params:\n{value.params}"
    return form(stable(_WHEN.sub(_blank, text)), room.summary) if text else []


def _summary(value: Any, name: str) -> str:
    made: Any = getattr(value, name)
    text = made() if callable(made) else made
    return str(text) if text is not None and not only_classes(str(text)) else ""


def _blank(found: re.Match[str]) -> str:
    """The same width of white space in place of the date or time: the columns stay where they are."""
    return " " * len(found[0])


def is_estimator(value: Any) -> bool:
    """Whether a value is an estimator in the form of scikit-learn's that is fitted, or has such in it."""
    if isinstance(value, type) or not all(hasattr(type(value), name) for name in ("get_params", "fit")):
        return False
    return any(True for _ in _found(value))


def estimator(value: Any, name: str, room: Room) -> list[Part]:
    """An estimator and what it found, attribute by attribute."""
    lines = [stable(join_line(try_or_none(partial(repr, value)) or type_name(value))), "fitted:"]
    lines += [f"  {label} = {text}" for label, text in _found(value)]
    return form("\n".join(lines), room.summary)


def _found(value: Any) -> Iterator[tuple[str, str]]:
    """The fitted attributes of an estimator and of the steps in it: their names, and their values in short."""
    for where, each in _parts(value):
        own = {name for name in try_or_none(partial(vars, each)) or () if name.endswith("_") and name[0] != "_"}
        own = {name for name in own if "time" not in name.split("_")}  # how long it took differs in each run
        for attribute in sorted({*own, *(name for name in _COMPUTED if hasattr(type(each), name))}):
            text = try_or_none(partial(_attribute, each, attribute))
            if text:
                yield f"{where}{attribute}", text


def _attribute(value: Any, name: str) -> str:
    return _text(getattr(value, name))


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    yield "", value
    steps = getattr(value, "steps", None)
    for step in steps[:MAX_PARTS] if isinstance(steps, list) else ():
        if isinstance(step, tuple) and len(step) == 2 and hasattr(type(step[1]), "get_params"):
            yield f"{step[0]}.", step[1]


def _text(found: Any) -> str:
    """A fitted attribute on one line; empty if it would be no more than a class."""
    if isinstance(found, list) and found and hasattr(type(found[0]), "get_params"):
        return f"{len(found):,} × {type_name(found[0])}"
    if is_from_library(found, "numpy") and getattr(found, "shape", None):
        return _array(found)
    if isinstance(found, dict):
        found = {key: each for key, each in found.items() if "time" not in str(key).split("_")}
    text = stable(str(found)) if isinstance(found, int | float | str) or hasattr(found, "item") else brief(found)
    return "" if only_classes(text) else short(join_line(text), MAX_ATTRIBUTE_CHARACTERS)


def _array(found: Any) -> str:
    import numpy

    if found.size > 200:
        return f"{type_name(found)} of shape {found.shape}, {found.dtype}"
    text = stable(numpy.array2string(found, separator=", ", precision=6))
    return "" if only_classes(text) else short(join_line(text), MAX_ATTRIBUTE_CHARACTERS)
