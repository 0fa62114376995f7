"""The `{{expr}}` syntax of a prompt: parse, compile and evaluate."""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import CodeType, ModuleType
from typing import Any

from ..content.parts import Text
from ..content.safely import one_line
from ..content.text import short_line
from ..errors import PromptError
from ..notebook.scope import places
from ..options import IPYTHON_NAMES

MAX_CLOSINGS_TRIED = 100
MAX_QUOTED_CHARACTERS = 60
MAX_SEARCHED_CHARACTERS = 10_000
_SINGLE = re.compile(r"(?<![^\s(])\{([^\W\d]\w*)\}(?![\w}^])")
_F_STRING = re.compile(r"\b[fF][\"']")

LITERAL_ADVICE = r"\{{ writes a literal {{, and --raw turns the syntax off. Nothing was sent."


@dataclass(frozen=True)
class Expression:
    """One `{{expr}}` of a prompt; `line` is its line in the prompt, from 1. One from elsewhere says `where`."""

    source: str
    line: int
    code: CodeType
    where: str = ""


def _split(body: str) -> Iterator[Text | Expression]:
    position = 0
    last_closing = body.rfind("}}")
    while (opening := body.find("{{", position)) >= 0:
        if body[position:opening].endswith("\\"):
            yield Text(body[position : opening - 1] + "{{")
            position = opening + 2
            continue
        # After the last `}}` do not search: for many `{{` the searches would take quadratic time.
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
    """The expression that opens at `opening`, up to the first `}}` that makes it valid Python, and the position after.

    Raises `PromptError` if none of the first `MAX_CLOSINGS_TRIED` closings does.
    """
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
    """The code of an expression of one or more lines; None if it is not valid Python."""
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
        failure = f"there is no name {missing!r}{places(variables)}" if missing else one_line(error)
    # Raised outside of the except block: else the error and its traceback would stay as the context.
    quoted = short_line(expression.source, MAX_QUOTED_CHARACTERS)
    guess = _close_match(missing, variables) if missing else None
    first = f"Did you mean {guess!r}? " if guess else "Run the cell that defines it. "
    advice = f"{first}{LITERAL_ADVICE}" if missing else "Nothing was sent."
    where = where or expression.where or f"Line {expression.line} of the prompt"
    said = failure if failure.endswith("?") else f"{failure}."
    raise PromptError(f"{where}: {{{{{quoted}}}}} failed: {said}", advice=advice)


def value_of(source: str, namespace: Mapping[str, Any], where: str) -> Any:
    """The value of an expression from outside the prompt, such as an option; `where` begins the error message.

    Raises `PromptError` if it is not valid Python or fails.
    """
    return _evaluate(compiled(source, where), namespace)


def compiled(source: str, where: str) -> Expression:
    """An expression from outside the prompt. Raises `PromptError` if it is not valid Python."""
    code = _compile(source)
    if code is None:
        quoted = short_line(source, MAX_QUOTED_CHARACTERS)
        raise PromptError(f"{where}: {{{{{quoted}}}}} is not a Python expression.", advice="Nothing was sent.")
    return Expression(source, 1, code, where)


def _close_match(name: str, namespace: Mapping[str, Any]) -> str | None:
    """The closest match among the reader's own names, without IPython's, such as `In` and `_i1`; None if no match."""
    known = [known for known in namespace if isinstance(known, str) and known not in IPYTHON_NAMES and known[:1] != "_"]
    return next(iter(difflib.get_close_matches(name, known, n=1)), None)


def single_braces(body: str, namespace: Mapping[str, Any]) -> str | None:
    """A variable that stands in a prompt as `{name}`, as other magics have it; None without one, and in code."""
    if "```" in body or _F_STRING.search(body[:MAX_SEARCHED_CHARACTERS]):
        return None
    names = (found[1] for found in _SINGLE.finditer(body[:MAX_SEARCHED_CHARACTERS]))
    own = (name for name in names if name in namespace and name not in IPYTHON_NAMES and name[:1] != "_")
    return next((name for name in own if not isinstance(namespace[name], ModuleType | type | Callable)), None)


# For `mapping/`, where one prompt is evaluated for many rows: the same steps, one at a time


def split(body: str) -> list[Text | Expression]:
    """A prompt's texts and expressions, in order. Raises `PromptError` for an expression that is not valid Python."""
    return list(_split(body))


def evaluated(expression: Expression, namespace: Mapping[str, Any]) -> Any:
    """The value of an expression. Raises `PromptError` if it fails."""
    return _evaluate(expression, namespace)
