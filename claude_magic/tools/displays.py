"""Capture what a tool prints and displays: each output with the object that was displayed, to know it again."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Output:
    """One displayed output: its MIME bundle, and the object that it shows (None if unknown, as for raw bundles)."""

    bundle: Mapping[str, Any]
    value: Any = None


class Captured:
    """What was printed and displayed so far; complete when the capture has ended."""

    def __init__(self) -> None:
        self._streams: Any = None
        self._values: dict[int, tuple[Any, Any]] = {}  # by the id of the bundle: the bundle, which stays alive; value

    @property
    def stdout(self) -> str:
        return str(self._streams.stdout)

    @property
    def stderr(self) -> str:
        return str(self._streams.stderr)

    @property
    def outputs(self) -> Sequence[Output]:
        """The displayed outputs, in order; one that was updated in its place is as it was last."""
        bundles: dict[object, Mapping[str, Any]] = {}
        for number, each in enumerate(self._streams.outputs):
            bundles[_display_id(each) or number] = each.data or {}
        return [Output(each, self._values.get(id(each), (None, None))[1]) for each in bundles.values()]


def _display_id(output: Any) -> str | None:
    transient = output.transient
    return str(transient["display_id"]) if isinstance(transient, Mapping) and transient.get("display_id") else None


@contextmanager
def captured() -> Iterator[Captured]:
    """Capture what the block prints and displays."""
    from IPython.utils.capture import capture_output

    seen = Captured()
    with capture_output() as seen._streams, _noted(seen._values):
        yield seen


@contextmanager
def _noted(values: dict[int, tuple[Any, Any]]) -> Iterator[None]:
    """Note in `values` which object each bundle is made of, by IPython's formatter, which all displays go through."""
    from IPython.core.getipython import get_ipython

    shell: Any = get_ipython()
    formatter = None if shell is None else shell.display_formatter
    if formatter is None:
        yield
        return
    before, plain = vars(formatter).get("format"), formatter.format

    def noting(value: Any, *arguments: Any, **named: Any) -> Any:
        outputs = getattr(shell.display_pub, "outputs", [])
        count = len(outputs)
        made = plain(value, *arguments, **named)
        values[id(made[0])] = (made[0], value)
        for each in outputs[count:]:  # it has displayed itself (`_ipython_display_`)
            values.setdefault(id(each["data"]), (each["data"], value))
        return made

    formatter.format = noting
    try:
        yield
    finally:
        if before is None:
            del formatter.format
        else:
            formatter.format = before


def flush_figures() -> None:
    """Display now the matplotlib figures that the inline backend would show at the end of the cell."""
    inline = sys.modules.get("matplotlib_inline.backend_inline")
    if inline is not None:
        inline.flush_figures()
