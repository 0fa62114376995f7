"""A traceback has the whole chain of its exception, within its room, whatever the exception does."""

from __future__ import annotations

import traceback

import pytest

from claude_magic.content import tracebacks


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_it_is_what_python_prints() -> None:
    error = raised(ExceptionGroup("several", [raised(ValueError("one")), KeyError("two")]))
    assert tracebacks.traceback_text(error, 10_000) == "".join(traceback.format_exception(error)).rstrip("\n")


def test_a_long_one_keeps_its_end() -> None:
    error = raised(ValueError("x" * 100_000 + " the end"))
    text = tracebacks.traceback_text(error, 2_000)
    assert len(text) <= 2_000 and text.startswith("Traceback") and text.endswith("the end")


@pytest.mark.parametrize("depth", [3, 2_000])
def test_a_chain_of_any_length_is_told(depth: int) -> None:
    error = raised(ValueError("the first"))
    for number in range(depth):
        outer = RuntimeError(f"number {number}")
        outer.__cause__ = error
        error = outer
    text = tracebacks.traceback_text(error, 5_000)
    assert f"number {depth - 1}" in text and len(text) <= 5_000


@pytest.mark.slow
def test_groups_within_groups_end_somewhere() -> None:
    error: Exception = ValueError("inside")
    for _ in range(3_000):
        error = ExceptionGroup("around", [error])
    assert "around" in tracebacks.traceback_text(error, 5_000)


def test_an_exception_that_cannot_be_printed_is_named() -> None:
    assert "Unprintable" in tracebacks.traceback_text(raised(Unprintable()), 1_000)
    assert not tracebacks.says_more(Unprintable())


@pytest.mark.parametrize(
    ("error", "more"),
    [
        (ValueError("short"), False),
        (ValueError("several\nlines"), True),
        (ValueError("long " * 100), True),
        (ExceptionGroup("group", [ValueError()]), True),
        (SyntaxError("bad"), True),
    ],
)
def test_what_does_not_fit_on_one_line_says_more(error: Exception, more: bool) -> None:
    assert tracebacks.says_more(error) is more
