"""Executions of this kernel: source, outputs and error of each, bounded in memory.

IPython keeps sources, results and (from 9 on) what was printed. Displayed outputs and errors are recorded here as they
happen; beyond a limit, the oldest are dropped.
"""

from __future__ import annotations

import re
import sys
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from traceback import TracebackException
from typing import TYPE_CHECKING, Any

from ..errors import ClaudeError

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

MAX_DISPLAYED_BYTES = 50_000_000
MAX_NOTED = 10_000

_OWN_LINE = re.compile(r"\s*%(claude(_\w+)?\b|(re)?load_ext\s+claude_magic\b|config\s+ClaudeMagic\b)")

Bundle = Mapping[str, Any]


@dataclass
class ExecutionNotes:
    """Notes on one execution: its start (seconds since the epoch), its displayed outputs (MIME bundles), its error.

    `report` is the error's traceback without its frames, once a later error has taken them.
    """

    number: int
    cell_id: str | None = None
    started: float = 0.0
    displayed: list[Bundle] = field(default_factory=list)
    error: BaseException | None = None
    report: TracebackException | None = None

    def let_go(self) -> None:
        """Keep of the error's traceback what can be told of it: its frames would keep their variables alive."""
        if self.error is not None and self.error.__traceback__ is not None:
            with suppress(Exception):  # of the error's own methods
                self.report = TracebackException.from_exception(self.error)
            self.error = self.error.with_traceback(None)


@dataclass(frozen=True)
class Failure:
    """An error that ended an execution; `number` is the execution's, `None` where it is unknown.

    `report` is its traceback where the error itself no longer has it.
    """

    error: BaseException
    number: int | None = None
    report: TracebackException | None = None


class Executions:
    """The executions of one kernel. `loaded` is when the extension was loaded, in seconds since the epoch."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._noted: OrderedDict[int, ExecutionNotes] = OrderedDict()
        self._bytes = 0
        self._failure: Failure | None = None
        self.loaded = time.time()

    def watch(self) -> None:
        """Start to record displayed outputs and errors."""
        self._shell.events.register("post_run_cell", self._note_error)
        if hasattr(self._shell.display_pub, "register_hook"):
            self._shell.display_pub.register_hook(self._note_output)

    def unwatch(self) -> None:
        """Stop recording."""
        if self._note_error in self._shell.events.callbacks["post_run_cell"]:
            self._shell.events.unregister("post_run_cell", self._note_error)
        if hasattr(self._shell.display_pub, "unregister_hook"):
            self._shell.display_pub.unregister_hook(self._note_output)

    def begin(self, cell_id: str | None) -> None:
        """Start the notes of a new execution."""
        number = number_of(self._shell)
        self._forget(number)
        self._noted[number] = ExecutionNotes(number, cell_id, time.time())
        while len(self._noted) > MAX_NOTED:
            self._forget(next(iter(self._noted)))

    @property
    def last_failure(self) -> Failure | None:
        """The last error of the user's own code; errors of this package (`ClaudeError`) do not count."""
        if self._failure is not None:
            return self._failure
        error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)  # before we were loaded
        return Failure(error) if isinstance(error, BaseException) and not isinstance(error, ClaudeError) else None

    def failure(self, number: int) -> Failure | None:
        """The error that ended an execution; `None` where it did not fail, or nothing is known of it."""
        noted = self._noted.get(number)
        if noted is None or noted.error is None:
            return None
        last = self._failure
        return last if last is not None and last.number == number else Failure(noted.error, number, noted.report)

    def number_of_cell(self, cell_id: str) -> int | None:
        """The number of a cell's last execution in this kernel, by the frontend's id of the cell."""
        return next((noted.number for noted in reversed(self._noted.values()) if noted.cell_id == cell_id), None)

    def is_noted(self, number: int | None) -> bool:
        """Whether an execution is one that is known here, with its error if it failed."""
        return number in self._noted

    def cell_id(self, number: int) -> str | None:
        """The frontend's id of the cell of an execution."""
        return self._noted[number].cell_id if number in self._noted else None

    def source(self, number: int) -> str | None:
        """The source of the cell that ran as `In [number]`; `None` where this kernel ran none."""
        history = getattr(self._shell.history_manager, "input_hist_raw", None) or []
        return history[number] if 0 < number < len(history) else None

    def numbers(self) -> list[int]:
        """The numbers of all executions so far, without the current one."""
        history = getattr(self._shell.history_manager, "input_hist_raw", None) or []
        return [number for number in range(1, len(history)) if number != number_of(self._shell)]

    def since(self, moment: float | None) -> list[int]:
        """Numbers of executions after a moment (seconds since the epoch), or all: the last run of each cell.

        Cells of this package are left out (`is_own_cell`). Executions from before loading count as run at loading.
        """
        last_runs: dict[object, int] = {}
        for number in self.numbers():
            noted = self._noted.get(number, ExecutionNotes(number, started=self.loaded))
            source = self.source(number) or ""
            if source.strip() and not is_own_cell(source) and (moment is None or noted.started > moment):
                last_runs[noted.cell_id or number] = number
        return sorted(last_runs.values())

    def printed(self, number: int) -> str:
        """The text that an execution wrote to stdout and stderr."""
        outputs = getattr(self._shell.history_manager, "outputs", None) or {}
        streams = [each for each in outputs.get(number, ()) if str(each.output_type).endswith("_stream")]
        return "".join(str(text) for each in streams for text in each.bundle.get("stream", ()))

    def displayed(self, number: int) -> list[Bundle]:
        """The outputs that an execution displayed, as MIME bundles."""
        return list(self._noted[number].displayed) if number in self._noted else []

    def has_result(self, number: int) -> bool:
        """Whether there is an `Out [number]`."""
        return number in self._shell.user_ns.get("_oh", {})

    def result(self, number: int) -> Any:
        """The value of `Out [number]`."""
        return self._shell.user_ns["_oh"][number]

    def error(self, number: int) -> BaseException | None:
        """The error that ended an execution; `None` where it did not fail."""
        return self._noted[number].error if number in self._noted else None

    def _note_error(self, result: Any) -> None:
        error = result.error_in_exec or result.error_before_exec
        number = next(reversed(self._noted), None)
        if not isinstance(error, BaseException) or isinstance(error, ClaudeError):
            return
        self._failure = Failure(error, number)
        for noted in self._noted.values():  # a traceback keeps its frames and their variables alive: keep only one
            if noted.number == number:
                noted.error = error
            else:
                noted.let_go()

    def _note_output(self, message: Any) -> Any:
        """Hook of ipykernel's display publisher, which gets each message and must return it."""
        number = next(reversed(self._noted), None)
        if number is None or message.get("msg_type") != "display_data" or is_own_cell(self.source(number) or ""):
            return message
        bundle = message["content"]["data"]
        size = sum(len(value) for value in bundle.values() if isinstance(value, str))
        if size <= MAX_DISPLAYED_BYTES:
            self._noted[number].displayed.append(bundle)
            self._bytes += size
        for noted in self._older(number):
            if self._bytes <= MAX_DISPLAYED_BYTES:
                break
            self._drop(noted)
        return message

    def _older(self, number: int) -> Iterable[ExecutionNotes]:
        return [noted for noted in self._noted.values() if noted.number != number and noted.displayed]

    def _drop(self, noted: ExecutionNotes) -> None:
        self._bytes -= sum(len(v) for bundle in noted.displayed for v in bundle.values() if isinstance(v, str))
        noted.displayed = []

    def _forget(self, number: int) -> None:
        if number in self._noted:
            self._drop(self._noted.pop(number))


def number_of(shell: InteractiveShell) -> int:
    """The number of the current execution (in some versions of IPython, `execution_count` is already the next one)."""
    return int(shell.displayhook.prompt_count)


def is_own_cell(source: str) -> bool:
    """Whether a cell starts with `%%claude`, or has only lines that call or configure this package."""
    lines = [line for line in source.splitlines() if line.strip()]
    return bool(lines) and (lines[0].lstrip().startswith("%%claude") or all(map(_OWN_LINE.match, lines)))


def of_file(cells: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The executed code cells of a notebook's file, each with its execution count."""
    for cell in cells:
        number = cell.get("execution_count")
        if cell.get("cell_type") == "code" and isinstance(number, int) and number > 0:
            yield number, cell
