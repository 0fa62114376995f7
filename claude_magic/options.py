"""Options of a `%%claude` line: one dataclass field each, and the parser for them.

Each field's metadata holds the option's flags, parser, help text and completions, and whether its default can be set
with `%config ClaudeMagic.…`. The line parser, the help text, the configuration and completion all read these fields.
"""

from __future__ import annotations

import dataclasses
import keyword
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from . import models
from .conversation.turns import DEFAULT_CHAT
from .errors import UsageError

DEFAULT_MAX_TOKENS = 32_000
# Token limits for the text of values in a prompt; `content/parts.py` turns tokens into bytes.
DEFAULT_VALUE_TOKENS = 2_500
DEFAULT_CELL_TOKENS = 500_000
DEFAULT_CONTEXT_TOKENS = 20_000
DEFAULT_MAX_TOOL_CALLS = 25
DEFAULT_CONCURRENCY = 8
BUILT_IN_TOOLS = ("python", "variables", "read_file")
# The smallest threshold that the API takes for compaction (CLAUDE_API.md §6).
MIN_COMPACT_TOKENS = 50_000
REPLAY = ("off", "auto", "only")
# Topics of options: the reference groups options by topic.
Group = Literal["model", "attached", "conversation", "reply", "tools", "cost"]


class SecretValue(ValueError):
    """An invalid option value that may be a secret: the error message leaves the value out."""


_AMOUNT = re.compile(r"\$?[0-9]{1,7}(?:\.[0-9]{1,6})?")
_NUMBER = re.compile(r"[0-9]{1,9}|[0-9]{1,3}(?:_[0-9]{3}){1,2}")
_RANGE = re.compile(r"([0-9]{0,9})\s*(?:(-)\s*([0-9]{0,9}))?")
# Names that IPython itself needs: `--out` must not overwrite them.
IPYTHON_NAMES = frozenset({"In", "Out", "exit", "quit", "open", "get_ipython"})


def _whole_number(text: str) -> int:
    if not _NUMBER.fullmatch(text) or int(text) < 1:
        raise ValueError("a whole number of tokens, 1 or more")
    return int(text)


def _count(text: str) -> int:
    if not _NUMBER.fullmatch(text) or int(text) < 1:
        raise ValueError("a whole number, 1 or more")
    return int(text)


def _names(text: str) -> str:
    found = [each.strip() for each in text.split(",")]
    if not all(part.isidentifier() for each in found for part in each.split(".")):
        raise ValueError("names of functions with commas between them, such as weather,shop.prices")
    return ",".join(found)


def _columns(text: str) -> str:
    found = [each.strip() for each in text.split(",")]
    if not all(found):
        raise ValueError("names of columns with commas between them, such as token,license_key")
    return ",".join(found)


def _name(text: str) -> str:
    if not text.isidentifier() or keyword.iskeyword(text) or text.startswith("__") or text in IPYTHON_NAMES:
        raise ValueError("a Python variable name")
    return text


def _models(text: str) -> str:
    if not text.strip():
        raise ValueError(f"{', '.join(models.LINES)} or a model's id")
    for name in text.split(","):
        if meant := models.misspelt_line(name.strip()):
            raise ValueError(f"{', '.join(models.LINES)} or a model's id (did you mean {meant}?)")
    return text


def _effort(text: str) -> str:
    if text not in models.EFFORTS:
        raise ValueError("one of " + ", ".join(models.EFFORTS))
    return text


def _thinking(text: str) -> str:
    text = {"off": "disabled", "on": "adaptive"}.get(text, text)
    if text not in ("adaptive", "disabled", "between_tools") and not _NUMBER.fullmatch(text):
        raise ValueError("adaptive, disabled, between_tools or a number of tokens")
    return text


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError("one of " + ", ".join(choices))
        return text

    return parse


def _compact(text: str) -> str:
    if text in ("auto", "off"):
        return text
    if not _NUMBER.fullmatch(text) or int(text) < MIN_COMPACT_TOKENS:
        raise ValueError(f"auto, off, or a number of tokens, {MIN_COMPACT_TOKENS:,} or more")
    return str(int(text))


def _clear_tools(text: str) -> str:
    if text in ("auto", "off"):
        return text
    if not _NUMBER.fullmatch(text) or int(text) < 1:
        raise ValueError("auto, off, or a number of tokens")
    return str(int(text))


def _cells(text: str) -> tuple[tuple[int, int | None], ...]:
    """Ranges of cell numbers as (first, last) pairs, from text such as `3-7` or `3,5,8-`; `None` for an open end."""
    found: list[tuple[int, int | None]] = []
    for part in text.replace("–", "-").split(","):
        numbers = _RANGE.fullmatch(part.strip())
        if numbers is None or part.strip() in ("", "-"):
            raise ValueError("numbers of cells, such as 3-7 or 3,5,8-")
        first, dash, last = numbers.groups()
        low = int(first or 1)
        high = (int(last) if last else None) if dash else low
        if low < 1 or (high is not None and high < low):
            raise ValueError("numbers of cells from 1 on, the lower first")
        found.append((low, high))
    return tuple(found)


def _dollars(text: str) -> str:
    if not _AMOUNT.fullmatch(text):
        raise ValueError("an amount in dollars, such as 0.50")
    return text.removeprefix("$")


# The choices of a tool that name none.
TOOL_CHOICES = ("auto", "any", "none")
_TOOL = re.compile(r"[a-zA-Z0-9_-]{1,128}")


def _tool_choice(text: str) -> str:
    if not _TOOL.fullmatch(text.rpartition(".")[2]):
        raise ValueError("auto, any, none, or the name of a tool")
    return text.rpartition(".")[2]


_DOMAIN = re.compile(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+(?:/[^\s,]*)?")
CREDENTIAL = re.compile(r"[?&;][^=&]*(?:key|token|secret|password|auth|sig)[^=&]*=", re.IGNORECASE)


def _domains(text: str) -> str:
    found = [each.strip() for each in text.split(",") if each.strip()]
    if not found or not all(_DOMAIN.fullmatch(each) for each in found):
        raise ValueError("domains with commas between them, such as python.org,numpy.org/doc")
    return ",".join(found)


def _location(text: str) -> str:
    if not any(location(text).values()):
        raise ValueError("a place, such as 'Reykjavik, IS' or 'Reykjavik, Capital Region, IS, Atlantic/Reykjavik'")
    return text


def location(text: str) -> dict[str, str]:
    """A place as the API's `user_location` has it, from text such as `City, Region, CC, Area/Zone`: CC is a country of
    two letters, Area/Zone a time zone, and city and region are what is left."""
    parts = [part for each in text.split(",") if (part := each.strip())]
    country = next((part for part in reversed(parts) if re.fullmatch("[A-Z]{2}", part)), None)
    zone = next((part for part in reversed(parts) if re.fullmatch(r"[A-Za-z_]+(/[A-Za-z0-9_+-]+){1,2}", part)), None)
    names = [part for part in parts if part not in (country, zone)]
    if len(names) > 2:  # a city and a region
        return {}
    found = {"city": names[0] if names else None, "region": names[1] if names[1:] else None}
    found |= {"country": country, "timezone": zone}
    return {name: value for name, value in found.items() if value}


_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


def is_address(server: str) -> bool:
    """Whether an MCP server is one that the API connects to by its address."""
    return server.startswith("https://")


def mcp_server(text: str) -> str:
    """An MCP server's address, or its name or command. Error messages do not repeat it, since it may hold a
    password."""
    if not _SCHEME.match(text):
        return _command(text)
    parts = urlsplit(text)
    is_local = parts.scheme == "http" and parts.hostname in _THIS_MACHINE
    if not (is_local or parts.scheme == "https") or not parts.hostname or not text.isascii() or not text.isprintable():
        raise SecretValue("an address that opens with https://, or http://localhost")
    if "@" in parts.netloc or CREDENTIAL.search(f"?{parts.query}") or parts.fragment or " " in text:
        raise SecretValue("an address without a credential in it: ClaudeMagic.mcp_tokens says where the token is")
    return text


def _command(text: str) -> str:
    try:
        words = shlex.split(text)
    except ValueError:
        words = []
    if not words or not words[0] or "\0" in text:
        raise SecretValue("an address that opens with https://, a command (its quotes closed), or a name")
    return text


def _stop(text: str) -> str:
    if not text.strip():
        raise ValueError("a text that is more than white space")
    return text


def parse_text(text: str) -> str:
    return text


def option(  # noqa: PLR0913  # one argument for each thing that a field says of its option
    default: Any,
    *flags: str,
    group: Group,
    help: str,
    metavar: str = "",
    parse: Callable[[str], Any] = parse_text,
    repeat: bool = False,
    setting: bool = False,
    choices: tuple[str, ...] | str = (),
    commas: bool = False,
) -> Any:
    """A dataclass field of `Options`, with the option's metadata.

    An option without `metavar` is a switch. `setting`: the default is also a trait of `ClaudeMagic`. `choices` are for
    completion: a tuple of values, or a string with the names of sources in the notebook (`chats`, `files`, `functions`,
    `schemas`, `tools`, `variables`), separated by spaces. `repeat`: may be given several times. `commas`: takes several
    values with commas between them.
    """
    about = {
        "group": group,
        "help": help,
        "metavar": metavar,
        "parse": parse,
        "repeat": repeat,
        "setting": setting,
        "commas": commas,
    }
    return field(default=default, metadata={"flags": flags, "choices": choices, **about})


@dataclass(frozen=True)
class Options:
    """The options of one cell, under the API's names where the API has the same parameter."""

    model: str = option(
        models.DEFAULT_MODEL,
        "--model",
        "-m",
        metavar="MODEL",
        parse=_models,
        setting=True,
        commas=True,
        choices=(*models.LINES, *(model.id for model in models.MODELS)),
        group="model",
        help="model id, or opus, sonnet, haiku, fable: the newest of that line; several, with commas: side by side",
    )
    system: str | None = option(
        None,
        "--system",
        "-s",
        metavar="TEXT",
        setting=True,
        group="model",
        help="system prompt; {{name}} takes it from a variable",
    )
    max_tokens: int = option(
        DEFAULT_MAX_TOKENS,
        "--max-tokens",
        metavar="N",
        parse=_whole_number,
        setting=True,
        group="model",
        help="the longest reply, in tokens, thinking included",
    )
    effort: str | None = option(
        None,
        "--effort",
        metavar="LEVEL",
        parse=_effort,
        choices=models.EFFORTS,
        setting=True,
        group="model",
        help="how much work Claude puts in: low, medium, high, xhigh, max",
    )
    thinking: str | None = option(
        None,
        "--thinking",
        metavar="KIND",
        parse=_thinking,
        choices=("adaptive", "disabled", "between_tools"),
        setting=True,
        group="model",
        help="adaptive, disabled, between_tools, or a budget in tokens for models before 4.6; unset: the model's own",
    )
    stop: tuple[str, ...] = option(
        (),
        "--stop",
        metavar="TEXT",
        parse=_stop,
        repeat=True,
        group="model",
        help="stop before this text; may be given several times",
    )
    image: tuple[str, ...] = option(
        (),
        "--image",
        "-i",
        metavar="WHAT",
        repeat=True,
        choices="files variables",
        group="attached",
        help="send an image: a path, a pattern, an address or a variable; may be given several times",
    )
    file: tuple[str, ...] = option(
        (),
        "--file",
        "-f",
        metavar="WHAT",
        repeat=True,
        choices="files variables",
        group="attached",
        help="the same for any file: PDF, text, code, table, notebook, image",
    )
    file_title: tuple[str, ...] = option(
        (),
        "--file-title",
        metavar="TEXT",
        repeat=True,
        group="attached",
        help="the title of a document: the first is for the first --file, and so on",
    )
    file_context: tuple[str, ...] = option(
        (),
        "--file-context",
        metavar="TEXT",
        repeat=True,
        group="attached",
        help="about a document, not to be cited from: the first is for the first --file, and so on",
    )
    by_url: bool = option(
        False, "--by-url", group="attached", help="send addresses as they are: the API fetches images and PDFs"
    )
    chat: str = option(
        DEFAULT_CHAT,
        "--chat",
        "-c",
        metavar="NAME",
        setting=True,
        choices="chats",
        group="conversation",
        help="another conversation in this notebook",
    )
    cache: str = option(
        "5m",
        "--cache",
        metavar="TIME",
        parse=_one_of("5m", "1h", "off"),
        choices=("5m", "1h", "off"),
        setting=True,
        group="conversation",
        help="how long the API caches the conversation, to read it again at a fraction of the price: 5m, 1h, off",
    )
    compact: str | None = option(
        None,
        "--compact",
        metavar="WHEN",
        parse=_compact,
        choices=("auto", "off"),
        setting=True,
        group="conversation",
        help="have the API summarise a long conversation: auto (at 150,000 tokens), a number of tokens, off",
    )
    clear_tools: str | None = option(
        None,
        "--clear-tools",
        metavar="WHEN",
        parse=_clear_tools,
        choices=("auto", "off"),
        setting=True,
        group="conversation",
        help="have the API leave out old results of tools: auto (at 100,000 tokens), a number of tokens, off",
    )
    budget: str | None = option(
        None,
        "--budget",
        metavar="DOLLARS",
        parse=_dollars,
        group="cost",
        help="limit for the cost of this cell, in dollars",
    )
    fallback: str | None = option(
        None,
        "--fallback",
        metavar="MODEL",
        parse=_models,
        setting=True,
        choices=(*models.LINES, *(model.id for model in models.MODELS)),
        group="model",
        help="the model to ask instead if the first one refuses",
    )
    speed: str | None = option(
        None,
        "--speed",
        metavar="SPEED",
        parse=_one_of("standard", "fast"),
        choices=("standard", "fast"),
        setting=True,
        group="model",
        help="standard or fast: fast costs more",
    )
    service_tier: str | None = option(
        None,
        "--service-tier",
        metavar="TIER",
        parse=_one_of("auto", "standard_only"),
        choices=("auto", "standard_only"),
        setting=True,
        group="model",
        help="auto or standard_only",
    )
    inference_geo: str | None = option(
        None, "--inference-geo", metavar="PLACE", setting=True, group="model", help="where Claude runs: us, global"
    )
    metadata_user: str | None = option(
        None,
        "--metadata-user",
        metavar="ID",
        setting=True,
        group="model",
        help="an opaque id of the user, for the API's abuse checks",
    )
    web_search: bool = option(False, "--web-search", group="tools", help="let Claude search the web")
    web_fetch: bool = option(
        False, "--web-fetch", group="tools", help="let Claude read web pages and PDFs whose address is given"
    )
    web_domains: str | None = option(
        None,
        "--web-domains",
        metavar="DOMAINS",
        parse=_domains,
        setting=True,
        group="tools",
        help="search and read these domains only, with commas between them",
    )
    web_blocked: str | None = option(
        None,
        "--web-blocked",
        metavar="DOMAINS",
        parse=_domains,
        setting=True,
        group="tools",
        help="neither search nor read these domains, with commas between them",
    )
    web_location: str | None = option(
        None,
        "--web-location",
        metavar="WHERE",
        parse=_location,
        setting=True,
        group="tools",
        help="search as from this place: city, region, country of two letters, time zone, or some of them",
    )
    web_max_tokens: int | None = option(
        None,
        "--web-max-tokens",
        metavar="N",
        parse=_whole_number,
        setting=True,
        group="tools",
        help="limit for the text of one page that Claude reads, in tokens, roughly",
    )
    web_max_uses: int | None = option(
        None,
        "--web-max-uses",
        metavar="N",
        parse=_count,
        setting=True,
        group="tools",
        help="how often Claude may search, and read, for one reply",
    )
    code_execution: bool = option(
        False,
        "--code-execution",
        group="tools",
        help="let Claude run code in a container of Anthropic's, with no network",
    )
    mcp: tuple[str, ...] = option(
        (),
        "--mcp",
        metavar="SERVER",
        parse=mcp_server,
        repeat=True,
        group="tools",
        help="give Claude the tools of an MCP server: an address, a command in quotes that starts one here, or a name "
        "in ClaudeMagic.mcp_servers; may be given several times",
    )
    schema: str | None = option(
        None,
        "--schema",
        metavar="TYPE",
        choices="schemas",
        group="reply",
        help="get data of this type: a pydantic model, dataclass, TypedDict, JSON schema, or list[...] of one",
    )
    citations: bool = option(False, "--citations", group="reply", help="have Claude cite the documents that go along")
    tools: str | None = option(
        None,
        "--tools",
        metavar="NAMES",
        parse=_names,
        setting=True,
        choices="functions tools",
        commas=True,
        group="tools",
        help="functions that Claude may call, with commas; built in: python, variables, read_file",
    )
    max_tool_calls: int = option(
        DEFAULT_MAX_TOOL_CALLS,
        "--max-tool-calls",
        metavar="N",
        parse=_count,
        setting=True,
        group="tools",
        help="how often Claude may call tools in one cell",
    )
    tool_choice: str | None = option(
        None,
        "--tool-choice",
        metavar="CHOICE",
        parse=_tool_choice,
        choices=TOOL_CHOICES,
        group="tools",
        help="auto, none, or what Claude has to call first: any tool, or the one of this name",
    )
    strict_tools: bool = option(
        False,
        "--strict-tools",
        group="tools",
        help="have the API hold the arguments for your functions to their types",
    )
    once: bool = option(
        False,
        "--once",
        setting=True,
        group="conversation",
        help="ask without the conversation: Claude does not see it, and the turn does not join it; where this is the "
        "default, --chat asks in a conversation",
    )
    cells: tuple[tuple[int, int | None], ...] = option(
        (),
        "--cells",
        metavar="NUMBERS",
        parse=_cells,
        group="attached",
        help="send these cells along with their outputs and the Markdown above them, by the numbers in their In [ ]: "
        "3-7, or 3,5,8-",
    )
    error: bool = option(
        False, "--error", group="attached", help="send the last error along, with its cell and the values it used"
    )
    context: str = option(
        "none",
        "--context",
        metavar="WHICH",
        parse=_one_of("all", "new", "none"),
        choices=("all", "new", "none"),
        setting=True,
        group="attached",
        help="send the code that ran, with its outputs and the Markdown above it: all, new (since Claude's last turn), "
        "none",
    )
    context_tokens: int = option(
        DEFAULT_CONTEXT_TOKENS,
        "--context-tokens",
        metavar="N",
        parse=_whole_number,
        setting=True,
        group="attached",
        help="limit for --cells and --context, in tokens, roughly",
    )
    allow_secrets: bool = option(
        False,
        "--allow-secrets",
        group="attached",
        help="send what looks like a key, a token or a password; it is masked otherwise",
    )
    allow_columns: str | None = option(
        None,
        "--allow-columns",
        metavar="NAMES",
        parse=_columns,
        setting=True,
        commas=True,
        group="attached",
        help="send what these columns and fields hold, with commas between their names, though it looks like a secret",
    )
    value_tokens: int | None = option(
        None,
        "--value-tokens",
        metavar="N",
        parse=_whole_number,
        setting=True,
        group="attached",
        help=f"limit for the text of one value, in tokens; unset: {DEFAULT_VALUE_TOKENS:,}, and strings whole",
    )
    cell_tokens: int = option(
        DEFAULT_CELL_TOKENS,
        "--cell-tokens",
        metavar="N",
        parse=_whole_number,
        setting=True,
        group="attached",
        help="limit for the text of all values of a cell, in tokens",
    )
    raw: bool = option(False, "--raw", group="attached", help="send {{…}} as it is written")
    out: str | None = option(
        None,
        "--out",
        "-o",
        metavar="NAME",
        parse=_name,
        choices="variables",
        group="reply",
        help="bind the reply to a variable: a str with .thinking .code .usage .cost .blocks",
    )
    code: bool = option(
        False,
        "--code",
        group="reply",
        help="put the reply's Python into a new cell below, which does not run by itself",
    )
    count: bool = option(False, "--count", group="cost", help="count the tokens, estimate the cost, and ask nothing")
    show_request: bool = option(
        False, "--show-request", group="cost", help="print the exact request as JSON and send nothing"
    )
    show_code: bool = option(
        False, "--show-code", group="cost", help="print the request as a script with the SDK and send nothing"
    )


@dataclass(frozen=True)
class MapOptions:
    """The options of a `%%claude_map` cell.

    `over` is a Python expression for the data; `options` are those of `%%claude`; `concurrency` is the largest number
    of requests at a time. `batch` sends Message Batches, `background` lets the cell return at once, `fresh` asks rows
    again that have a kept answer, `asks_nulls` rows also whose values in the prompt are missing. `row_system` is a
    system prompt that names the row, in place of that of `options`.
    """

    over: str
    options: Options
    concurrency: int = DEFAULT_CONCURRENCY
    batch: bool = False
    background: bool = False
    fresh: bool = False
    asks_nulls: bool = False
    row_system: str = ""


FIELDS = dataclasses.fields(Options)
BY_FLAG = {flag: field for field in FIELDS for flag in field.metadata["flags"]}

# A word of an option line: quoted parts may hold spaces; a backslash has no special meaning.
_WORD = re.compile(r"""(?:"[^"]*"|'[^']*'|\{\{.*?\}\}|[^\s"'])+|["']""")


def parse(line: str, defaults: Options) -> tuple[Options, str]:
    """Split a magic's line into options and the text after them, which stays as it was typed.

    Options end at the first word that does not start with `-`, or after a word `--`. Raises
    `UsageError` for an unknown option and for an invalid value.
    """
    given: dict[str, Any] = {}
    at = 0
    while (word := _next_word(line, at)) and word.group().startswith("-"):
        at = word.end()
        if word.group() == "--":
            return _with(given, defaults), line[at + 1 :]
        option_field, value, at = _option(line, word, at)
        given[option_field.name] = _appended(option_field, given.get(option_field.name), value)
    rest = line[word.start() :] if word else ""
    return _with(given, defaults), rest


def _with(given: dict[str, Any], defaults: Options) -> Options:
    """The defaults with what is given; who names a conversation asks in it."""
    joins = {"once": False} if "chat" in given else {}
    return dataclasses.replace(defaults, **{**joins, **given})


def _appended(option_field: Any, former: Any, value: Any) -> Any:
    """The new value appended to the former ones, for options that take several; else the new value alone."""
    if option_field.metadata["repeat"]:
        return (*(former or ()), value)
    if former and isinstance(value, tuple):
        return (*former, *value)
    return f"{former},{value}" if former and option_field.metadata["commas"] else value


def words(line: str) -> list[str]:
    """The words of a magic's line, with their quotes removed.

    Raises `UsageError` for a quote that is not closed.
    """
    return [_unquoted(word) for word in _WORD.findall(line)]


def spans(line: str) -> list[str]:
    """The words of a magic's line as typed, quotes included; an expression for a type is one word."""
    found: list[str] = []
    at = 0
    while word := _next_word(line, at):
        flag, equals, _ = word.group().partition("=")
        start, at = word.start(), word.end()
        if flag in _EXPRESSIONS and equals:
            at = _expression_end(line, start + len(flag) + 1) or at
        elif found and found[-1] in _EXPRESSIONS:
            at = _expression_end(line, start) or at
        found.append(line[start:at])
    return found


def _next_word(line: str, at: int) -> re.Match[str] | None:
    while at < len(line) and line[at].isspace():
        at += 1
    return _WORD.match(line, at)


# The options whose value is Python: its brackets may hold spaces, and its quotes stay.
_EXPRESSIONS = ("--schema",)
_TOKEN = re.compile(r"""\"[^"]*"|'[^']*'|.""", re.DOTALL)
_QUOTED = re.compile(r"""\"[^"]*"|'[^']*'""")


def _expression_end(line: str, at: int) -> int | None:
    """The position behind the Python expression at `at`, where its brackets are closed and white space follows.

    None if they, or a quote, stay open.
    """
    depth = 0
    for token in _TOKEN.finditer(line, at):
        depth += (token.group() in "([{") - (token.group() in ")]}")
        if token.group() in ("'", '"') or depth < 0:
            return None
        if depth == 0 and token.group().isspace():
            return token.start()
    return len(line) if depth == 0 else None


def _expression(line: str, at: int) -> tuple[str, int] | None:
    """The Python expression at `at`, without quotes around all of it, and the position behind; None if it is open."""
    end = _expression_end(line, at)
    if end is None:
        return None
    text = line[at:end]
    return (text[1:-1] if _QUOTED.fullmatch(text) else text), end


def _option(line: str, word: re.Match[str], at: int) -> tuple[dataclasses.Field[Any], Any, int]:
    """One option, from `--name value` or `--name=value`: its field, its value, and the position after it."""
    flag, equals, attached = word.group().partition("=")
    option_field = BY_FLAG.get(flag)
    if option_field is None:
        raise UsageError(f"There is no option {flag}.", advice=_suggestion(flag))
    metavar = option_field.metadata["metavar"]
    if not metavar:
        if equals:
            raise UsageError(f"{flag} takes no value.", advice=f"Write just {flag}.")
        return option_field, True, at
    start = word.start() + len(flag) + 1
    if not equals:
        value = _next_word(line, at)
        if value is None:
            raise UsageError(f"{flag} wants a value: {metavar}.", advice=f"Write {flag} {metavar}.")
        attached, start, at = value.group(), value.start(), value.end()
    typed = _expression(line, start) if flag in _EXPRESSIONS else None
    if typed is not None:
        return option_field, _value(option_field, flag, typed[0]), typed[1]
    if line[at : at + 1] in ("'", '"'):
        raise UsageError(f"A quote is not closed in the value of {flag}.", advice="Put the value in the other quotes.")
    return option_field, _value(option_field, flag, _unquoted(attached)), at


def _value(option_field: dataclasses.Field[Any], flag: str, text: str) -> Any:
    if not text and option_field.name != "system":
        raise UsageError(f"{flag} is empty.", advice=f"Write {flag} {option_field.metadata['metavar']}.")
    try:
        return option_field.metadata["parse"](text)
    except SecretValue as error:
        raise UsageError(f"{flag} wants {error}.") from None
    except ValueError as error:
        wanted = str(error)
    raise UsageError(f"{flag} wants {wanted}, not {text!r}.")


def value_of(option_field: dataclasses.Field[Any], name: str, text: str) -> Any:
    """The value of an option from its text; `name` is the option's in messages. Raises `UsageError`."""
    return _value(option_field, name, text)


def _unquoted(word: str) -> str:
    parts = re.findall(r"""\"[^"]*"|'[^']*'|\{\{.*?\}\}|(?:(?!\{\{)[^"'])+|["']|\{\{""", word)
    for part in parts:
        if part in ('"', "'"):
            raise UsageError(f"A quote is not closed in {word}.")
    return "".join(part[1:-1] if part[0] in "\"'" else part for part in parts)


def _suggestion(flag: str) -> str:
    import difflib

    close = difflib.get_close_matches(flag, BY_FLAG, n=1)
    meant = f"Did you mean {close[0]}? " if close else ""
    return f"{meant}%%claude? lists the options; a prompt that opens with a dash goes after --."


# The title of each topic in the help, and an example.
TOPICS: dict[Group, tuple[str, str]] = {
    "model": ("Model and parameters", "%%claude -m sonnet --effort low"),
    "attached": ("What goes along", "%%claude -i photo.png -f paper.pdf --cells 3-7"),
    "conversation": ("Conversation", "%claude --once What is a p-value?"),
    "reply": ("The reply", "%%claude --schema list[Person] --out people"),
    "tools": ("Tools", "%%claude --tools weather,python --web-search"),
    "cost": ("Cost", "%%claude --count --budget 0.10"),
}


def help_text() -> str:
    """Help for all options by topic, each topic with an example, each option in one or two lines."""
    return "\n\n".join(_topic_help(group, *about) for group, about in TOPICS.items())


def _topic_help(group: Group, title: str, example: str) -> str:
    lines = [f"{title}: {example}"]
    for option_field in (each for each in FIELDS if each.metadata["group"] == group):
        about = option_field.metadata
        flags = ", ".join(reversed(about["flags"]))
        usage = f"{flags} {about['metavar']}".rstrip()
        gap = "  " if len(usage) < 22 else "\n" + " " * 26
        lines.append(f"  {usage:<22}{gap}{about['help']}")
    return "\n".join(lines)


def asks_for_help(line: str, *, is_cell: bool) -> bool:
    """Whether a magic's line asks for its help, as a command of a shell is asked: among the options of a cell, or first
    on a line with a prompt."""
    found = spans(line)
    return not {"--help", "-h"}.isdisjoint(found if is_cell else found[:1])
