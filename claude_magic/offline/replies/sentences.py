"""Sections of the stand-in's replies: functions that return text for a prompt, or `None` where they do not apply."""

from __future__ import annotations

import ast
import itertools
import operator
import re
from collections.abc import Callable

from ...models import STAND_IN_OPENING
from ..request.prompt import Frame, Prompt, result_text, shorten

_ARITHMETIC = re.compile(r"(?<![\w.])[-+(\s]*\d[\d\s.,()+\-*/×÷^%]*[\d)](?![\w])")
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}")
_OPERATORS: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_MAX_POWER = 64
_MAX_DIGITS = 18
_CODE = re.compile(
    r"\b(code|in python|python (?:code|program)|function|script|snippet|plot|chart|histogram|group[ -]?by|program)\b",
    re.I,
)
# What `%claude_fix` asks for (`magics/fix.py`), and the first code in a prompt: the cell that failed.
_CORRECT = "Correct the cell that failed."
_FENCED = re.compile(r"^(`{3,}).*?^\1$", re.M | re.S)
_PYTHON = re.compile(r"^(`{3,})python\n(.*?)\n\1$", re.M | re.S)
_MATH = re.compile(r"\b(formula|equation|maths?|integral|derivative|latex|theorem|variance|deviation|bayes)\b", re.I)
_TABLE = re.compile(r"\b(compare|comparison|versus|vs|table|differences? between)\b", re.I)
_RECALL = re.compile(
    r"\b(earlier|before|again|previous(ly)?|recall|so far|do you remember|what did (i|we)|have i (asked|said|told)"
    r"|(first|last) (question|prompt|thing))\b",
    re.I,
)
_ASKED_WHAT = re.compile(r"\bwhat (?:did|have) (?:i|we) (?:ask|say|tell|said|told)", re.I)
_OWN = re.compile(r"\b(?:what|which|who)(?:'s|’s| is| are| was| were)? my ([a-z][a-z ]*)", re.I)
_NAMED = re.compile(r"\b(?i:my name is|call me|i am called|i'm called)\s+([^\W\d_][\w'’-]*(?: [A-Z][\w'’-]*)?)")
_FACT = re.compile(r"\bmy ([a-z][a-z ]{0,40}?) (?:is|are|was) ([^.,;!?\n]+)", re.I)
_REMEMBER = re.compile(r"\bremember(?: that|:| this:)? ([^.!?\n]+)", re.I)
_SHOWN_PROMPTS = 6


def instructions(prompt: Prompt) -> str | None:
    """A quote of the system prompt, which shows that it has arrived."""
    if not prompt.instructions:
        return None
    said = "; then: ".join(f"“{shorten(each)}”" for each in prompt.instructions)
    arr = "Arr! " if "pirate" in " ".join(prompt.instructions).lower() else ""
    return f"{arr}My instructions are: {said}"


def tool_results(prompt: Prompt) -> str | None:
    """The results of tools, one paragraph each."""
    lines = [
        f"The tool {'failed and said' if block.get('is_error') else 'answered'}: {shorten(result_text(block), 400)}"
        for block in prompt.results
    ]
    return "\n\n".join(lines) or None


def arithmetic(prompt: Prompt) -> str | None:
    """The value of a calculation in the question."""
    question = _DATE.sub(" ", _FENCED.sub(" ", prompt.question))  # not what cells that go along calculate
    asked = re.search(r"\b(what|how much|compute|calculate|evaluate|solve|is)\b|=", question, re.I)
    for found in _ARITHMETIC.finditer(question):
        source = found[0].strip()
        alone = source == question.strip(" =?.\n")
        if re.search(r"[\d)]\s*[-+*/×÷^%]+\s*[-(]*\d", source) and (asked or alone):
            value = calculate(source)
            if value is not None:
                return f"{source.replace('*', chr(92) + '*')} = **{value}**"
    return None


def calculate(source: str) -> str | None:
    """The value of an arithmetic expression, as text; `None` where it is invalid or too large."""
    spelled = source.replace("×", "*").replace("÷", "/").replace("^", "**").replace(",", "")
    try:
        value = _evaluate(ast.parse(spelled.strip(), mode="eval").body)
    except (SyntaxError, ValueError, ArithmeticError, RecursionError, MemoryError):
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < 10**15:
        value = int(value)
    return str(round(value, 10))


def _evaluate(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=int() | float() as value) if len(str(value)) <= _MAX_DIGITS:
            return value
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_evaluate(operand)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _evaluate(operand)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            power = _evaluate(right)
            if abs(power) > _MAX_POWER:
                raise ValueError
            result = _evaluate(left) ** power
            if isinstance(result, complex):
                raise ValueError
            return float(result) if isinstance(result, float) else int(result)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_evaluate(left), _evaluate(right))
    raise ValueError


def recall(prompt: Prompt) -> str | None:
    """A fact or the prompts from earlier in the conversation, if the question asks for them."""
    own = _OWN.search(prompt.question)
    if own and (fact := _fact(own[1], prompt.earlier)):
        return f"{fact}\n\n{_listed(prompt.earlier)}" if _ASKED_WHAT.search(prompt.question) else fact
    if not own and not _RECALL.search(prompt.question):
        return None
    if not prompt.earlier:
        return "Nothing stands before this prompt: it is the first one that I can see."
    kept = [found[1].strip() for text in prompt.earlier if (found := _REMEMBER.search(text))]
    noted = f"You asked me to remember: **{shorten(kept[-1])}**.\n\n" if kept else ""
    return f"{noted}{_listed(prompt.earlier)}"


def _listed(earlier: tuple[str, ...]) -> str:
    """The newest of the earlier prompts, with their numbers in the conversation."""
    shown = earlier[-_SHOWN_PROMPTS:]
    lines = [
        f"{i}. “{_on_a_line(text) or '(data only)'}”" for i, text in enumerate(shown, len(earlier) - len(shown) + 1)
    ]
    return "Earlier you said:\n\n" + "\n".join(lines)


def _fact(wanted: str, earlier: tuple[str, ...]) -> str | None:
    """A fact about “my …” from earlier prompts, the newest first."""
    key = _key(wanted)
    for text in reversed(earlier):
        if key.startswith("name") and (named := _NAMED.search(text)):
            return f"Your name is **{named[1]}**: you told me so."
        for found in _FACT.finditer(text):
            if _key(found[1]) and key.startswith(_key(found[1])):
                return f"Your {found[1].strip()} is **{found[2].strip()}**: you told me so."
    return None


def _key(text: str) -> str:
    return " ".join(text.lower().replace("favourite", "favorite").split())


def acknowledgement(prompt: Prompt) -> str | None:
    """An acknowledgement of a name, or of something to remember."""
    if named := _NAMED.search(prompt.question):
        return f"Nice to meet you, **{named[1]}**. Ask me later what your name is."
    found = _REMEMBER.search(prompt.question)
    if not found or "?" in prompt.question:
        return None
    return f"I shall: {shorten(found[1])}."


def data(prompt: Prompt) -> str | None:
    """The size of each DataFrame, and a remark on the range of one of its columns."""
    return "\n\n".join(_frame(frame, prompt.question) for frame in prompt.frames) or None


def _frame(frame: Frame, question: str) -> str:
    rows, columns = (
        f"{frame.rows:,} row{'s'[: frame.rows != 1]}",
        f"{frame.columns:,} column{'s'[: frame.columns != 1]}",
    )
    said = f"`{frame.name}` is a {frame.library} DataFrame of **{rows}** and **{columns}**."
    if not frame.statistics:
        return said
    column = _column(frame, question)
    numbers = frame.statistics[column]
    low, high, mean = numbers["min"], numbers["max"], numbers["mean"]
    middle = (low + high) / 2
    side = "at the middle of" if mean == middle else "below the middle of" if mean < middle else "above the middle of"
    return f"{said} Its `{column}` goes from {low:g} to {high:g}; the mean, {mean:g}, lies {side} that range."


def _column(frame: Frame, question: str) -> str:
    """The column that the question names, else the one with the widest range."""
    asked = [name for name in frame.statistics if re.search(rf"\b{re.escape(name)}\b", question, re.I)]
    widest = sorted(
        frame.statistics, key=lambda name: -abs(frame.statistics[name]["max"] - frame.statistics[name]["min"])
    )
    return (asked or widest)[0]


def attachments(prompt: Prompt) -> str | None:
    """The format and size of each image, the title of each document."""
    lines = []
    for i, size in enumerate(prompt.pictures, 1):
        which = "The image" if len(prompt.pictures) == 1 else f"Image {i}"
        if size is None:
            lines.append(f"{which} is not in the request itself, so I cannot measure it.")
            continue
        kind = size.media_type.removeprefix("image/").upper()
        shape = "wide" if size.width > size.height else "tall" if size.width < size.height else "square"
        lines.append(f"{which} is a {shape} {kind} of **{size.width} × {size.height} pixels**.")
    lines += [f"There is a document with it: {title}." for title in prompt.documents]
    return " ".join(lines) or None


def failure(prompt: Prompt) -> str | None:
    """The last line of a traceback in the prompt."""
    if "Traceback (most recent call last)" not in prompt.text:
        return None
    found = re.findall(r"^(\w[\w.]*(?:Error|Exception|Warning|Interrupt)\b.*)$", prompt.text, re.M)
    return f"The traceback ends in `{shorten(found[-1])}`: look at the line that it names last." if found else None


def correction(prompt: Prompt) -> str | None:
    """The cell that `%claude_fix` sends, with a comment: no script can correct it."""
    found = _PYTHON.search(prompt.text) if _CORRECT in prompt.question else None
    if not found:
        return None
    fence, source = found[1], found[2]
    said = "I have no model behind me, and cannot correct it: this is the cell with a comment."
    return f"{said}\n\n{fence}python\n# The offline stand-in cannot correct this cell; Claude can.\n{source}\n{fence}"


def code(prompt: Prompt) -> str | None:
    """A snippet of Python that fits the question."""
    if not _CODE.search(prompt.question) or correction(prompt):
        return None
    if prompt.frames:
        return "In code:\n\n" + _frame_code(prompt.frames[0], prompt.question)
    topic = next((body for words, body in _SNIPPETS if re.search(words, prompt.question, re.I)), _SNIPPETS[-1][1])
    return f"In code:\n\n```python\n{topic}\n```"


def _frame_code(frame: Frame, question: str) -> str:
    name, column = frame.name, _column(frame, question) if frame.statistics else "value"
    named = (name for name in frame.others if re.search(rf"\bby {re.escape(name)}\b", question, re.I))
    key = next(named, next(iter(frame.others), column))
    if re.search(r"\b(plot|chart|histogram|draw)\b", question, re.I):
        lines = ["import matplotlib.pyplot as plt", "", f'plt.hist({name}["{column}"], bins=30)']
        lines += [f'plt.xlabel("{column}")', 'plt.ylabel("rows")']
    elif frame.library == "polars":
        lines = ["import polars as pl", ""]
        lines += [f'{name}.group_by("{key}").agg(pl.col("{column}").mean(), pl.len()).sort("{key}")']
    else:
        lines = [f'{name}.groupby("{key}")["{column}"].agg(["mean", "count"])']
    return "\n".join(["```python", *lines, "```"])


_SNIPPETS = (
    (
        r"plot|chart|histogram|draw",
        "import matplotlib.pyplot as plt\nimport numpy as np\n\n"
        'x = np.linspace(0, 2 * np.pi, 200)\nplt.plot(x, np.sin(x))\nplt.xlabel("x")',
    ),
    (
        r"group[ -]?by|dataframe|pandas",
        'import pandas as pd\n\ndf = pd.DataFrame({"city": ["Oslo", "Rome", "Oslo"], "degrees": [3, 18, 5]})\n'
        'df.groupby("city")["degrees"].mean()',
    ),
    (
        r"fibonacci",
        "def fibonacci(count):\n    a, b = 0, 1\n    for _ in range(count):\n        yield a\n        a, b = b, a + b\n"
        "\nlist(fibonacci(10))",
    ),
    (
        r"prime",
        "def is_prime(n):\n    return n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))\n\n"
        "[n for n in range(50) if is_prime(n)]",
    ),
    (r"revers|palindrome", 'def is_palindrome(text):\n    return text == text[::-1]\n\nis_palindrome("level")'),
    (
        "",
        "from collections import Counter\n\ndef most_common(words, count=3):\n"
        '    return Counter(words).most_common(count)\n\nmost_common("the cat and the hat".split())',
    ),
)


def formula(prompt: Prompt) -> str | None:
    """A formula that fits the question."""
    if not _MATH.search(prompt.question):
        return None
    return next((text for words, text in _FORMULAS if re.search(words, prompt.question, re.I)), _FORMULAS[-1][1])


_FORMULAS = (
    (r"quadratic", "The roots of $ax^2 + bx + c$ are\n\n$$x = \\frac{-b \\pm \\sqrt{b^2 - 4ac}}{2a}$$"),
    (r"bayes", "With a prior $P(A)$, seeing $B$ gives\n\n$$P(A \\mid B) = \\frac{P(B \\mid A)\\,P(A)}{P(B)}$$"),
    (
        r"variance|deviation|spread",
        "For values $x_1, \\dots, x_n$ with mean $\\bar{x}$:\n\n"
        "$$s^2 = \\frac{1}{n - 1} \\sum_{i=1}^{n} (x_i - \\bar{x})^2$$",
    ),
    (
        r"normal|gauss|integral",
        "The bell curve encloses a known area:\n\n$$\\int_{-\\infty}^{\\infty} e^{-x^2}\\,dx = \\sqrt{\\pi}$$",
    ),
    (r"derivative", "By the power rule, for $f(x) = x^n$:\n\n$$f'(x) = n\\,x^{n-1}$$"),
    ("", "Five constants in one line, with $i^2 = -1$:\n\n$$e^{i\\pi} + 1 = 0$$"),
)


def table(prompt: Prompt) -> str | None:
    """A Markdown table of a DataFrame's columns, of the things compared, or of the prompt's words."""
    if not _TABLE.search(prompt.question):
        return None
    if prompt.frames and (numbers := prompt.frames[0].statistics):
        rows = [[f"`{name}`", *(f"{each[key]:g}" for key in ("min", "mean", "max"))] for name, each in numbers.items()]
        return _markdown_table(["column", "min", "mean", "max"], rows)
    counted = [
        (item, sum(map(str.isalpha, item)), sum(each in "aeiouAEIOU" for each in item)) for item in _compared(prompt)
    ]
    rows = [[item, f"{letters}", f"{vowels}"] for item, letters, vowels in counted]
    return "What I can tell of them with no model behind me:\n\n" + _markdown_table(["name", "letters", "vowels"], rows)


# The request for a table at the end of a question, which is not part of what is compared.
_AS_TABLE = re.compile(r",?\s+(?:in|as|with) (?:a|one) (?:\w+ )?table$", re.I)


def _compared(prompt: Prompt) -> list[str]:
    text = _AS_TABLE.sub("", shorten(prompt.question, 400).rstrip(".?!"))
    pair = re.search(r"([\w.+#-]+) (?:vs\.?|versus) ([\w.+#-]+)", text, re.I)
    if pair:
        return [pair[1], pair[2]]
    found = re.search(r"(?:compare|comparison of|differences? between|table (?:of|for|with)) (.+)", text, re.I)
    items = re.split(r",\s*(?:and\s+)?|\s+(?:and|with|to|or)\s+", found[1] if found else text)
    return [shorten(item.replace("|", "/"), 40) for item in items if item.strip()][:8]


def _markdown_table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


SECTIONS: tuple[Callable[[Prompt], str | None], ...] = (
    tool_results,
    arithmetic,
    recall,
    acknowledgement,
    data,
    attachments,
    failure,
    correction,
    table,
    formula,
    code,
)


def closing(prompt: Prompt) -> str:
    """The reply where no section applies: a quote of the question, and a piece of Markdown that changes each turn."""
    return f"{_asked(prompt)}\n\n{_SHOWN[len(prompt.earlier) % len(_SHOWN)]}"


def _asked(prompt: Prompt) -> str:
    """The question, quoted. Data may stand before it or behind it: where no end says which, both ends are quoted."""
    question = (prompt.question or prompt.text).strip()
    if len(question) <= _LINE_CHARACTERS:
        return f"You asked: “{shorten(question)}”"
    lines = question.splitlines()
    for line in (lines[-1], lines[0]):
        if "?" in line:
            return f"You asked: “{shorten(line[: line.rindex('?') + 1])}”"
    return f"Your prompt begins with “{shorten(lines[0], 80)}” and ends with “{shorten(lines[-1], 80)}”"


def _on_a_line(question: str) -> str:
    """A question on one line; only its last line if it is long, since data usually comes before the question."""
    last = question.rstrip().rpartition("\n")[2]
    return shorten(question if len(question) <= _LINE_CHARACTERS else last)


_LINE_CHARACTERS = 160
_SHOWN = (
    "I have no model behind me, so this is what I can offer:\n\n"
    "- a **size** for every DataFrame and image\n- the value of `17 * 23`\n- what you said *earlier*",
    "> A stand-in answers in time, if not in depth.\n\nAsk for *code*, a *table* or a *formula*, and you get one.",
    "| you write | I answer |\n| --- | --- |\n| `{{df}}` | rows and columns |\n| a figure | its size in pixels |",
    "A number to look at: $\\sum_{k=1}^{n} k = \\frac{n(n+1)}{2}$.",
    '```python\nprint("a stand-in can show code, too")\n```',
)


def thoughts(prompt: Prompt, effort: str | None = None) -> str:
    """The text of thinking: two to five sentences about the prompt, one at `low`, repeated at `xhigh` and `max`."""
    count = len(prompt.text.split())
    said = [f"The prompt has {count} word{'s'[: count != 1]}: “{shorten(prompt.question or prompt.text, 80)}”."]
    said += [
        f"There is a DataFrame, {f.name}, of {f.rows:,} rows and {f.columns:,} columns." for f in prompt.frames[:1]
    ]
    if prompt.pictures:
        said.append(
            f"{len(prompt.pictures)} image{'s'[: len(prompt.pictures) != 1]} came with it, which I can measure."
        )
    if prompt.results:
        said.append("A tool has answered, so the answer should come from that.")
    if prompt.earlier:
        said.append(f"The first of {len(prompt.earlier)} earlier prompts was “{shorten(prompt.earlier[0], 60)}”.")
    said.append("I am a stand-in with a script, so I should say what is there and not pretend to more.")
    said = said[:4] + said[-1:] if len(said) > 5 else said
    if effort == "low":
        said = said[:1]
    again = [f"Once more, to be sure, now for the {nth} time." for nth in _AGAIN.get(effort or "", ())]
    return " ".join([*said, *(f"{each} {' '.join(said)}" for each in again)])


_AGAIN = {"xhigh": ("second",), "max": ("second", "third")}


def long_text(length: int) -> str:
    """Varied Markdown of about `length` characters."""
    parts, written = [STAND_IN_OPENING.strip()], len(STAND_IN_OPENING)
    for number in itertools.count(1):
        if written >= length:
            break
        part = _LONG[number % len(_LONG)].replace("{n}", str(number))
        parts.append(part)
        written += len(part) + 2
    return "\n\n".join(parts)


_LONG = (
    "## Part {n}\n\nA heading, then a paragraph with **bold**, *italic* and `code`, long enough to wrap on a screen "
    "of ordinary width, and with a [link](https://example.org/{n}) near its end.",
    "Paragraph {n} is plain prose. It says little, in sentences of several lengths. Some are short. Others go on for "
    "a while, as sentences in replies do, before they come to the point that they were meant to make.",
    "- item {n}.1\n- item {n}.2, with `code`\n  - nested\n- item {n}.3",
    "```python\ndef part_{n}(values):\n    return [value * {n} for value in values]\n```",
    "| part | square |\n| ---: | ---: |\n| {n} | {n}² |\n| {n} + 1 | ({n} + 1)² |",
    "The sum to {n} is $\\frac{{n}({n} + 1)}{2}$, and in a line of its own:\n\n$$\\int_0^{{n}} x\\,dx$$",
    "> Quote {n}: what is said twice is half as new.",
    "1. first of {n}\n2. second of {n}\n3. third of {n}",
)
