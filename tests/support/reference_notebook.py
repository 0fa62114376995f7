"""The reference notebook: each magic, option and default, read from the code. `make reference` writes it."""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from traitlets import Enum

from claude_magic import cli, options
from claude_magic.magics import registry
from claude_magic.magics.line import map_flags
from claude_magic.session.configuration import ClaudeMagic

PATH = Path(__file__).parents[2] / "notebooks" / "reference.ipynb"

# Headings of the groups of options and of the modules of magics. A new one needs a heading, or there is no page.
GROUPS: Mapping[options.Group, str] = {
    "model": "Which model answers, and how",
    "attached": "What goes along with the prompt",
    "conversation": "Which conversation, and what of it is sent",
    "reply": "What becomes of the reply",
    "tools": "Tools",
    "cost": "Before sending: tokens, cost and the request itself",
}
FAMILIES = {
    "claude": "Ask",
    "fix": "Correct a cell",
    "map": "Ask for many rows",
    "conversation": "The conversation",
    "cost": "Tokens, cost and cache",
    "models": "Models",
}
TITLE = """\
# Reference

All magics, options and defaults of claude_magic in one place. With this page you can

- look up what a magic or an option does, and what its default is,
- find the setting for something that you want in every cell,
- see what a value becomes when it goes into a prompt.

The other notebooks show the same things at work: begin with the [tour](tour.ipynb).

Without a key, the cells here run on the **offline stand-in**, which is *not* Claude. To ask Claude, set
`ANTHROPIC_API_KEY` before you start Jupyter. (`make reference` writes this page from the code.)"""
LOAD = """\
import os

%load_ext claude_magic
if "ANTHROPIC_API_KEY" not in os.environ:
    %config ClaudeMagic.provider = "offline\""""
MAGICS = """\
## Magics

`%%` magics take a whole cell, `%` magics one line. `[…]` may be left out, `|` stands between alternatives. `CHAT` is
the name of a conversation."""
OPTIONS = """\
## Options of `%%claude`

Options stand on the first line, before the prompt: `--name value` or `--name=value`, with quotes around a value that
has spaces. A word `--` ends them. `%claude` takes the same options, `%claude_fix` and `%claude_warm` those that make
sense there.

Where the last column has a name, `%config ClaudeMagic.name = value` changes the default for all cells. `None`: the API
decides, or it is off. The other options have no default that can be set."""
HELP = """\
The next cell prints the same list."""
MAP = """\
## `%%claude_map`"""
MAP_OPTIONS = """\
Its own options:"""
MAP_COMMANDS = """\
For a map that is under way, in another cell:"""
MAP_REFUSED = """\
It takes the options of `%%claude`, too, except {}: those are for one question."""
SETTINGS = """\
## More defaults

`%config ClaudeMagic` prints every default with its present value. Those below are settings of the whole kernel, and not
options of a cell. A line `c.ClaudeMagic.budget = 2.0` in `ipython_config.py` (`ipython profile create` makes the file)
sets one for all notebooks."""
VALUES = """\
## Values in a prompt

`{{expression}}` is any Python expression of the notebook. What Claude gets depends on the value:

| Value | What is sent |
|---|---|
| a string, a number, a date | the text. A string is never taken for a path |
| a DataFrame or Series (pandas, polars, pyarrow, DuckDB, Dask and others) | a summary: shape, columns with types, \
missing values and statistics, first rows. A lazy frame is not computed |
| a NumPy array | shape, type, range and some of its values |
| a figure or chart (matplotlib, seaborn, plotly, altair) | an image; for Altair and SVG, \
`pip install '.[pictures]'` in the checkout |
| an image (PIL, SVG, IPython's `Image`) | an image, within the sizes that the API takes |
| a `Path` | the file: an image, a PDF, a table as a summary, a notebook, or text |
| an exception | its traceback |
| a function or a class | its source |
| a list, tuple or dict of these | one after another, each with its name |
| anything else | what IPython displays: an image, else Markdown, LaTeX or text |

An object decides itself with a method `_repr_claude_()`; for a class that is not yours, \
`claude_magic.show_as(type, function)` does the same. Long values are shortened, and say so: `--value-tokens` and \
`--cell-tokens` set how long they may be. Braces inside a value are text. `\\{{` is a literal `{{`, and `--raw` turns \
the syntax off for a cell."""
REPLY = """\
## The reply as a value

`--out NAME` binds the reply to a variable, `x = %claude …` does the same on one line, and `ask(…)` returns it. It is \
a `str`, and has these attributes:

| Attribute | What it is |
|---|---|
| `thinking` | Claude's thinking, as text |
| `code` | the Python blocks of the reply, one after another |
| `usage` | tokens, as the API reports them: `usage["output_tokens"]` |
| `cost` | dollars, as a `Decimal`; `None` where the price is not known |
| `blocks` | the content blocks, as the API sent them |
| `citations` | the citations, in the order of their numbers: `citations[0]` is [1] |

With `--schema` the variable holds the validated object instead; a `list[...]` becomes a DataFrame.

`from claude_magic import ask, aask` asks from Python, in notebooks and in scripts: `ask(prompt, *values, show=False, \
model="haiku", …)`. The prompt is text, in which braces mean nothing; values go behind it. The options of `%%claude` \
have their Python names (`max_tokens`, `stop=["END"]`, `tools=[function]`, `schema=Type`, `image=figure`); those that \
bind, print or count something in a cell are left out. `aask` is its coroutine: `await asyncio.gather(aask(…), \
aask(…))` asks at once, and the replies join the conversation in the order asked. With `show=True` they are shown as \
they come; without, an empty output of the cell keeps the record. In a script, `claude_magic.config` has the defaults: \
`config.provider = "offline"`."""
BEHAVIOUR = """\
## How a conversation behaves

- **Order.** Turns stand in the order in which their cells first ran. A cell that runs again sends the turns before \
its own, and replaces its own in place; the turns after it are marked *asked before the change above* in \
`%claude_history`. The turn of a deleted cell is no longer sent.
- **Return.** `%load_ext` in a notebook that has turns brings the conversation back, and says how many turns, from \
when, and what they cost.
- **Errors.** A question that fails leaves the conversation as it was. A reply that you stop keeps what arrived. \
Overload, rate limits and lost connections are retried, and the cell shows the wait.
- **The page.** While a reply streams, a panel above it shows its state, the thinking, and Stop; at the end, static \
HTML and Markdown take its place, which need no kernel and no widgets. A page that is reloaded in the middle of a \
reply keeps the answer so far, with a dead panel above it until the cell runs again.
- **Length.** A question that exceeds the model's context window is not sent; the message names the ways out: \
`%claude_compact`, `%claude_reset`, or a model with a larger window.
- **Replay.** With `replay = "only"`, each cell is answered from the notebook's own record, at its original pace, \
with no key and no network. `"auto"` asks Claude where there is no record or the question changed.

## Tools and files

- A function's annotations and docstring say what it takes. Each call is shown with its exact arguments and its \
result, characters that cannot be seen as `⟨U+number⟩`, and waits for your click, as `approve` says. *Run all of this \
reply* lets the later calls of the same cell run unasked. Where clicks do not arrive while a cell runs (ipykernel 6, \
or a frontend without subshells), a line asks `[y/N/a]` instead. `python` runs code in your namespace; `variables` and \
`read_file` only read, and run unasked.
- `--web-search`, `--web-fetch`, `--code-execution` and `--mcp https://…` run on Anthropic's side. Each search, page \
and program is shown with its results, charts as images. The container of `--code-execution` is kept from cell to cell.
- `--mcp "COMMAND"` starts an MCP server beside the kernel, once, and ends it with the kernel; `--mcp NAME` one of \
`mcp_servers`, whose `env` may hold its keys (from the kernel's environment it inherits PATH, HOME and the like only). \
Its tools wait for your click as your functions do, whatever the server says of them. It needs \
`pip install '.[mcp]'`. `--mcp http://localhost…` reaches one that runs already.
- The token of an MCP server that Anthropic connects to: `%claude_key HOST` asks for it, or `mcp_tokens` names the \
environment variable that holds it.
- Files of `--image` and `--file` are fetched and sent as bytes, so that the notebook shows what Claude saw; \
`--by-url` sends the address. Images are fitted to the API's limits and lose their metadata; tables go as a summary.
- Some providers need an extra: `pip install '.[bedrock]'`, `aws`, `vertex` or `google-cloud`. For a gateway set \
`base_url`; any client object of the SDK works as `ClaudeMagic.client`. Prices follow the provider.

## Money

- Tokens are those that the API reports, prices are those of genai-prices. `n/a` is an unknown price. `≥` marks a \
reply that broke off before its last figures came.
- A question that would exceed a budget is not sent; a reply that does is stopped and kept. Each cell says what is \
left.
- A cell that ran again, was stopped or was deleted was paid for as well, and `%claude_cost` counts it.

## What is sent, and what is kept

A cell's request goes to Claude, by the provider that is set, and nowhere else; `--show-request` prints it exactly. \
There is no telemetry. What goes along is listed in the cell by name and tokens. Values that look like keys, tokens \
or passwords are masked, and the cell says where; `--allow-secrets` sends them. A column is \
masked whole if its name says that it is secret and many of its values look like it, or if they are keys of services; \
numbers, dates and plain words stay. `--allow-columns NAMES` (`%config ClaudeMagic.allow_columns`) sends columns and \
fields of these names as they are. Claude's text is shown as \
HTML that a sanitizer let through, since JupyterLab would run HTML and scripts in it.

| What | Where it is kept |
|---|---|
| the conversation | in the notebook: each turn in the metadata of its cell's first output. It is read back as data, \
checked against a schema, and never run. A record that is not whole is skipped, and a line says which |
| replies as they come | in a journal in Jupyter's data folder, readable by you alone, for a month at most; `journal \
= False` keeps none |
| answers of `%%claude_map` | in the same folder, so that a map continues where it stopped |
| your key | nowhere: it comes from the environment, a profile of the SDK, or `%claude_key`, and stays in memory |"""
TRY = """\
## Try one

Change the options of this cell, and run it again."""
SHELL = """\
## In a shell

`claude-magic COMMAND --help` lists the options of a command."""


@dataclass(frozen=True)
class Help:
    """A magic's docstring, taken apart: what it does, how it is called (with a remark), its own flags."""

    paragraphs: Sequence[str]
    usages: Sequence[tuple[str, str]]
    flags: Sequence[tuple[str, str]]


def notebook() -> dict[str, Any]:
    """The page, as a notebook without outputs. It is the same for the same code."""
    sources = [
        ("markdown", TITLE),
        ("code", LOAD),
        ("markdown", "\n\n".join([MAGICS, *_magics()])),
        ("markdown", "\n\n".join([OPTIONS, *_options()])),
        ("markdown", HELP),
        ("code", "%%claude?"),
        ("markdown", "\n\n".join(_map())),
        ("markdown", f"{SETTINGS}\n\n{_settings()}"),
        ("markdown", VALUES),
        ("markdown", REPLY),
        ("markdown", BEHAVIOUR),
        ("markdown", TRY),
        ("code", "%%claude --effort low --max-tokens 300\nWhat is the variance of a sample?"),
        ("markdown", f"{SHELL}\n\n{_commands()}"),
    ]
    cells = [_cell(number, kind, source) for number, (kind, source) in enumerate(sources)]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def text() -> str:
    """The page as the file has it."""
    return json.dumps(notebook(), indent=1, ensure_ascii=False) + "\n"


def _cell(number: int, kind: str, source: str) -> dict[str, Any]:
    fresh = {"execution_count": None} if kind == "code" else {}
    outputs: dict[str, Any] = {"outputs": []} if kind == "code" else {}
    lines = source.splitlines(keepends=True)
    return {"cell_type": kind, **fresh, "id": f"reference-{number:02}", "metadata": {}, **outputs, "source": lines}


def _magics() -> Iterator[str]:
    """A table for each module of magics."""
    by_module: dict[str, dict[str, Help]] = {}
    for family, magics in registry.FAMILIES.items():
        module, _, kind = family.partition(".")
        made = getattr(importlib.import_module(f"claude_magic.magics.{module}"), kind)
        by_module.setdefault(module, {}).update({name: help_of(made, name) for name in _names(magics)})
    for module in sorted(by_module, key=list(FAMILIES).index):
        rows = [_magic(name, about) for name, about in by_module[module].items()]
        yield f"### {FAMILIES[module]}\n\n{_table(['You type', 'What it does'], rows)}"


def _names(magics: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(magic.lstrip("%") for magic in magics))


def _magic(name: str, about: Help) -> list[str]:
    """A row; the map has a section of its own."""
    if name == "claude_map":
        return [_code(about.usages[0][0]), f"{_prose(about.paragraphs[0])} See below."]
    typed = [f"{_code(usage)} ({remark})" if remark else _code(usage) for usage, remark in about.usages]
    return ["<br>".join(typed), " ".join(_prose(each) for each in about.paragraphs)]


def help_of(family: type, name: str) -> Help:
    """What a magic's docstring says."""
    paragraphs, usages, flags = [], [], []
    topics = [f"{title}:" for title, _ in options.TOPICS.values()]
    for block in inspect.cleandoc(getattr(family, name).__doc__).split("\n\n"):
        lines = [line.strip() for line in block.splitlines()]
        if lines[0].startswith("%"):
            usages += [_halves(line) for line in lines]
        elif lines[0].startswith("--") and "  " in lines[0]:
            flags += [_halves(line) for line in lines]
        elif not block.startswith((" ", "Options", "Beside it:", *topics)):
            paragraphs.append(" ".join(lines))
    return Help(paragraphs, usages, flags)


def _halves(line: str) -> tuple[str, str]:
    """What is typed, and the remark behind it."""
    typed, *remark = re.split(r"\s{2,}", line, maxsplit=1)
    return typed, "".join(remark)


def _options() -> Iterator[str]:
    """A table for each group of options."""
    for group in get_args(options.Group):
        rows = [_option(field) for field in options.FIELDS if field.metadata["group"] == group]
        yield f"### {GROUPS[group]}\n\n{_table(['Option', 'What it does', 'Default of `ClaudeMagic`'], rows)}"


def _option(field: Any) -> list[str]:
    about = field.metadata
    typed = ", ".join(reversed(about["flags"]))
    default = _code(f"{field.name} = {field.default!r}") if about["setting"] else ""
    values = () if isinstance(about["choices"], str) else about["choices"]
    return [_code(f"{typed} {about['metavar']}".rstrip()), _prose(about["help"], values), default]


def _map() -> Iterator[str]:
    """The section on maps: a call, what it does, its own options and commands, and what it does not take."""
    from claude_magic.magics.map import MapMagics

    about = help_of(MapMagics, "claude_map")
    (call, _), *commands = about.usages
    yield f"{MAP}\n\n```\n{call}\n\nWhich language is this? {{{{row.text}}}}\n```"
    yield from (_prose(each) for each in about.paragraphs)
    for title, head, rows in ((MAP_OPTIONS, "Option", about.flags), (MAP_COMMANDS, "You type", commands)):
        yield f"{title}\n\n{_table([head, 'What it does'], [[_code(typed), _prose(said)] for typed, said in rows])}"
    taken = map_flags()
    refused = [flag for field in options.FIELDS for flag in field.metadata["flags"][:1] if flag not in taken]
    yield MAP_REFUSED.format(", ".join(_code(flag) for flag in refused))


def _settings() -> str:
    """The defaults that belong to no option."""
    own = ClaudeMagic.class_own_traits(config=True)
    rows = [_setting(name, own[name]) for name in vars(ClaudeMagic) if name in own]
    return _table(["Default of `ClaudeMagic`", "What it is"], rows)


def _setting(name: str, trait: Any) -> list[str]:
    values = tuple(trait.values) if isinstance(trait, Enum) else ()
    said = _prose(trait.help, values)
    unsaid = [_code(each) for each in values if each not in trait.help]
    return [_code(f"{name} = {_default(trait)}"), f"{said}. Also: {', '.join(unsaid)}" if unsaid else said]


def _default(trait: Any) -> str:
    return repr(trait.default() if callable(getattr(trait, "default", None)) else trait.default_value)


def _commands() -> str:
    parser = cli._parser()
    (commands,) = (each for each in parser._actions if isinstance(each, argparse._SubParsersAction))
    rows = []
    for command in commands.choices.values():
        command.color = False  # Python 3.14 colours the usage on a terminal
        usage = " ".join(command.format_usage().split()).removeprefix("usage: ").replace(" [-h]", "")
        rows.append([_code(usage), _prose(command.description or "")])
    return _table(["You type", "It does"], rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _code(typed: str) -> str:
    """As code, in a table: a bar would end the table's cell, and nbconvert shows the backslash that escapes one."""
    return f"<code>{typed.replace('|', '&#124;')}</code>" if "|" in typed else f"`{typed}`"


# In a sentence, what one types: magics, options, {{…}}, attributes, names with an underscore.
_TYPED = (
    *(r"%%?(?:config ClaudeMagic|claude\w*)", r"(?<![\w-])--[a-z][a-z-]*", r"\\?\{\{(?:[^{}]*\}\})?", r"In \[ \]"),
    *(r"(?<!\w)\.[a-z]+\b", r"\b[a-z]+(?:_[a-z]+)+\b", r"\b[A-Z]+(?:_[A-Z]+)+\b", r"list\[\.\.\.\]"),
)


def _prose(said: str, values: Iterable[str] = ()) -> str:
    """A sentence, with what one types in it as code: `values` are those that it names."""
    words = [rf"(?<![\w-]){re.escape(value)}(?![\w-])" for value in values]
    return re.sub("|".join([*_TYPED, *words]), lambda found: f"`{found[0]}`", said)


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
