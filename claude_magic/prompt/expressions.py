"""`{{expr}}` in a prompt: found, compiled and evaluated."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import CodeType
from typing import Any

from ..content.parts import Text
from ..content.safely import one_line
from ..content.text import short_line
from ..errors import PromptError
from ..options import IPYTHON_NAMES

MAX_CLOSINGS_TRIED = 100
MAX_QUOTED_CHARACTERS = 60

LITERAL_ADVICE = r"\{{ writes a literal {{, and --raw turns the syntax off. Nothing was sent."


@dataclass(frozen=True)
class Expression:
    """An `{{expr}}` of a prompt; `line` counts from 1."""

    source: str
    line: int
    code: CodeType


# From the body to its parts


def _split(body: str) -> Iterator[Text | Expression]:
    position = 0
    last_closing = body.rfind("}}")
    while (opening := body.find("{{", position)) >= 0:
        if body[position:opening].endswith("\\"):
            yield Text(body[position : opening - 1] + "{{")
            position = opening + 2
            continue
        # Without a `}}` to come there is nothing to look for: looking would make many `{{` take quadratic time.
        end = body.find("}}", opening + 2) + 2 if opening + 2 <= last_closing else opening + 2
        if not body[opening + 2 : end - 2].strip():
            yield Text(body[position:end])
        else:
            yield Text(body[position:opening])
            expression, end = _expression(body, opening)
            yield expression
        position = end
    yield Text(body[position:])


def _expression(body: str, opening: int) -> tuple[Expression, int]:
    """The expression that opens here, up to the first `}}` that completes it, and where the text goes on."""
    start = opening + 2
    line = body.count("\n", 0, opening) + 1
    closing = first = body.find("}}", start)
    for _ in range(MAX_CLOSINGS_TRIED):
        source = body[start:closing].strip()
        code = _compile(source)
        if code is not None:
            return Expression(source, line, code), closing + 2
        closing = body.find("}}", closing + 1)
        if closing < 0:
            break
    quoted = short_line(body[opening : first + 2], MAX_QUOTED_CHARACTERS)
    raise PromptError(f"Line {line} of the prompt: {quoted} is not a Python expression.", advice=LITERAL_ADVICE)


def _compile(source: str) -> CodeType | None:
    """The code of an expression, which may go over several lines; `None` if it is none."""
    if "\n" in source:
        source = f"({source}\n)"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return compile(source, "<{{…}}>", "eval")
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
        return None


def _evaluate(expression: Expression, namespace: Mapping[str, Any], where: str = "") -> Any:
    variables = namespace if isinstance(namespace, dict) else dict(namespace)
    try:
        return eval(expression.code, variables)
    except (Exception, SystemExit) as error:
        missing = error.name if type(error) is NameError else None
        failure = f"there is no name {missing!r}" if missing else one_line(error)
    # Raised out here: inside the except block the error and its traceback would hang on as the context.
    quoted = short_line(expression.source, MAX_QUOTED_CHARACTERS)
    guess = _close_match(missing, variables) if missing else None
    advice = (f"Did you mean {guess!r}? " if guess else "") + (LITERAL_ADVICE if missing else "Nothing was sent.")
    where = where or f"Line {expression.line} of the prompt"
    raise PromptError(f"{where}: {{{{{quoted}}}}} failed: {failure}.", advice=advice)


def value_of(source: str, namespace: Mapping[str, Any], where: str) -> Any:
    """The value of an expression that stands elsewhere than in the prompt; `where` opens what is said of its failure.

    Raises `PromptError` where it is no Python, or fails.
    """
    code = _compile(source)
    if code is None:
        quoted = short_line(source, MAX_QUOTED_CHARACTERS)
        raise PromptError(f"{where}: {{{{{quoted}}}}} is not a Python expression.", advice="Nothing was sent.")
    return _evaluate(Expression(source, 1, code), namespace, where)


def _close_match(name: str, namespace: Mapping[str, Any]) -> str | None:
    """The nearest of the reader's own names: none that Python or IPython put there, such as `In` and `_i1`."""
    known = [known for known in namespace if isinstance(known, str) and known not in IPYTHON_NAMES and known[:1] != "_"]
    return next(iter(difflib.get_close_matches(name, known, n=1)), None)


# For a prompt that is asked of many rows (`mapping/`): the same steps, one at a time


def split(body: str) -> list[Text | Expression]:
    """A prompt's text and expressions, in order. Raises `PromptError` for one that is not Python."""
    return list(_split(body))


def evaluated(expression: Expression, namespace: Mapping[str, Any]) -> Any:
    """An expression's value. Raises `PromptError` where it fails."""
    return _evaluate(expression, namespace)
