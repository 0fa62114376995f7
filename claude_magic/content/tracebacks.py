"""Exceptions as text: the traceback with causes, notes and the members of groups, in a bounded length."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType

from .parts import shortened
from .safely import one_line, try_or_none
from .stable_text import without_addresses

# Of the frames that a caller accepts, so many are shown of each exception: the reader's innermost, and the last.
MAX_FRAMES = 4
LIBRARIES = tuple({path for name, path in sysconfig.get_paths().items() if name in ("stdlib", "purelib", "platlib")})


def traceback_text(
    error: BaseException,
    room: int,
    *,
    start: TracebackType | None = None,
    keeps: Callable[[traceback.FrameSummary], bool] | None = None,
) -> str:
    """The traceback of an exception as Python prints it, with its whole chain, in at most `room` bytes.

    `start` is where it begins (else at its first frame). With `keeps`, only frames that it accepts are shown, of each
    exception (`frames_of`).
    """
    lines = try_or_none(lambda: list(_lines(error, start, keeps)))
    text = without_addresses("".join(lines or [one_line(error)]).rstrip("\n"), bare=False)
    return shortened(text, room, keep_end=True)


def report_text(
    report: traceback.TracebackException, room: int, keeps: Callable[[traceback.FrameSummary], bool]
) -> str:
    """The same of an exception whose frames are gone, by what was noted of them."""
    lines = try_or_none(lambda: list(_kept(report, keeps).format()))
    return shortened("".join(lines or []).rstrip("\n"), room, keep_end=True)


def says_more(error: BaseException) -> bool:
    """Whether an exception says more than fits on one line: a long message, a cause, a context, notes or members."""
    line, message = one_line(error), try_or_none(lambda: str(error)) or ""
    context = None if error.__suppress_context__ else error.__context__
    chained = error.__cause__ is not None or context is not None
    chained = chained or isinstance(error, BaseExceptionGroup | SyntaxError)  # of a syntax error, its line
    return chained or bool(getattr(error, "__notes__", None)) or not line.endswith(message)


def in_library(filename: str) -> bool:
    """Whether a file is of Python or of an installed package."""
    return filename.startswith(LIBRARIES) or "site-packages" in filename


def frames_of(
    frames: Iterable[traceback.FrameSummary], keeps: Callable[[traceback.FrameSummary], bool]
) -> Sequence[traceback.FrameSummary]:
    """The frames that are shown of those that are accepted: the reader's innermost, and the last."""
    accepted = [frame for frame in frames if keeps(frame)]
    readers = [frame for frame in accepted if not in_library(frame.filename)][-MAX_FRAMES:]
    return [*readers, *(frame for frame in accepted[-1:] if frame not in readers)]


def _lines(
    error: BaseException, start: TracebackType | None, keeps: Callable[[traceback.FrameSummary], bool] | None
) -> Iterator[str]:
    report = traceback.TracebackException(type(error), error, start or error.__traceback__)
    yield from (report if keeps is None else _kept(report, keeps)).format()


def _kept(
    report: traceback.TracebackException, keeps: Callable[[traceback.FrameSummary], bool]
) -> traceback.TracebackException:
    """A report in which only frames are left that are accepted."""
    for each in _chain(report):
        each.stack[:] = frames_of(each.stack, keeps)
    return report


def _chain(report: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    """An exception, its causes and contexts, and the members of groups, at any depth."""
    left = [report]
    while left:
        each = left.pop()
        yield each
        left += [other for other in (each.__cause__, each.__context__, *(each.exceptions or ())) if other is not None]
