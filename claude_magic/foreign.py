"""Values of other people's classes: asked without importing their libraries, and without failing with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def comes_from(value: Any, *libraries: str) -> bool:
    """Whether a value's class, or one that it is made from, is of one of these top-level packages."""
    return any(str(base.__module__).partition(".")[0] in libraries for base in type(value).__mro__)


def attempt(form: Callable[[], Any]) -> Any:
    """What a call gives, or None where it fails: the next one may work."""
    try:
        return form()
    except Exception:
        return None


def one_line(error: BaseException) -> str:
    """An exception's type and message in a line, even if its message is broken."""
    try:
        message = " ".join(str(error).split())
    except Exception:
        message = ""
    return short(f"{type(error).__name__}: {message}" if message else type(error).__name__, 200)


def short(text: str, limit: int) -> str:
    """A text of at most `limit` characters; a cut one ends in `…`."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
