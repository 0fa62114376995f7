"""Tool calls with their results as a title and a text: tools on the API's servers, and those of the notebook.

The wire forms are those of the SDK's `web_search_tool_result_block.py`, `web_fetch_block.py`,
`*_code_execution_*_block.py`, `beta_mcp_tool_result_block.py`. The text is untrusted: callers escape it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..content.text import join_line, plural, short_line
from ..conversation.turns import NOT_RUN, Block, blocks
from .text import visible

CALLS = ("server_tool_use", "mcp_tool_use")
MAX_TITLE_CHARACTERS = 100
MAX_PAGE_CHARACTERS = 1_000
CODE = "Code execution"
_SEARCH, _PAGE = "Web search: ", "Web page: "
WEB_TITLES = (_SEARCH, _PAGE)  # the starts of titles whose text has URLs to link
NO_RESULT = "(no result came)"
_RAN = ("code_execution", "bash_code_execution", "text_editor_code_execution")


def is_result(block: Block) -> bool:
    """Whether a block is the result of a tool on the API's servers, not of one in the notebook."""
    return str(block["type"]).endswith("_tool_result") and block["type"] != "tool_result"


def ran_code(content: Sequence[Block]) -> bool:
    """Whether code ran in a container for a reply, other than inside the web tools."""
    return any(block["type"] == "server_tool_use" and block.get("name") in _RAN for block in content)


def server_tool_call(call: Block | None, result: Block | None) -> tuple[str, str]:
    """The title and text of a server tool's call and result; either block may be missing."""
    name = str((call or {}).get("name") or str((result or {}).get("type")).removesuffix("_tool_result"))
    given = _object(call.get("input") if call else None)
    broken = str(call.get("partial_json") or "") if call else ""
    content = result.get("content") if result else None
    describe = _DESCRIPTIONS.get(name, _any_tool) if (call or {}).get("type") != "mcp_tool_use" else _mcp
    title, text = describe({**(call or {}), "name": name, "input": given}, content)
    if failed := _error(content):
        text = f"{text}\nfailed: {failed}".strip()
    elif result is None:
        text = f"{text or broken}\n{NO_RESULT}".strip()
    return _short(title), text


def files(content: Sequence[Block]) -> Iterator[str]:
    """The ids of the files that code in a container made, in order, each once."""
    found: dict[str, None] = {}
    for block in content:
        inner = block.get("content") if is_result(block) else None
        outputs = inner.get("content") if isinstance(inner, Mapping) else None
        for output in outputs if isinstance(outputs, list) else ():
            if isinstance(output, Mapping) and isinstance(output.get("file_id"), str):
                found[output["file_id"]] = None
    yield from found


def _search(call: Block, content: Any) -> tuple[str, str]:
    results = [each for each in content if isinstance(each, Mapping)] if isinstance(content, list) else []
    count = f" ({plural(len(results), 'result')})" if results else ""
    lines = []
    for number, each in enumerate(results, 1):
        age = f" ({each['page_age']})" if each.get("page_age") else ""
        lines.append(f"{number}. {_line(each.get('title') or 'untitled')}{age}\n   {_line(each.get('url') or '')}")
    return f"{_SEARCH}{call['input'].get('query') or '…'}{count}", "\n".join(lines)


def _fetch(call: Block, content: Any) -> tuple[str, str]:
    found = _object(content)
    url = _line(found.get("url") or call["input"].get("url") or "…")
    document = _object(found.get("content"))
    source = _object(document.get("source"))
    lines = [url, *([f"title: {_line(document['title'])}"] if document.get("title") else [])]
    if found.get("retrieved_at"):
        lines.append(f"retrieved: {_line(found['retrieved_at'])}")
    if source.get("type") == "text":
        page = str(source.get("data") or "").strip()
        more = f"\n… [{len(page):,} characters in all]" if len(page) > MAX_PAGE_CHARACTERS else ""
        lines += ["", page[:MAX_PAGE_CHARACTERS] + more]
    elif source:
        lines.append(f"a document: {_line(source.get('media_type') or source.get('type'))}")
    return f"{_PAGE}{url}", "\n".join(lines)


def _code(call: Block, content: Any) -> tuple[str, str]:
    given = call["input"]
    code = given.get("code") or given.get("command") or ""
    return CODE, f"{code}\n{_program_output(content)}".strip("\n")


def _editor(call: Block, content: Any) -> tuple[str, str]:
    """A file written, changed or viewed in the container."""
    given = call["input"]
    done = {"create": "written", "str_replace": "changed", "view": "looked at"}.get(str(given.get("command")), "used")
    text = given.get("file_text") or ""
    if given.get("old_str"):
        old = [f"- {line}" for line in str(given["old_str"]).splitlines()]
        text = "\n".join([*old, *(f"+ {line}" for line in str(given.get("new_str") or "").splitlines())])
    seen = content.get("content") if isinstance(content, Mapping) else None
    return f"File {done}: {given.get('path') or '…'}", str(text or (seen if isinstance(seen, str) else ""))


def _program_output(content: Any) -> str:
    """A program's output and errors, and its exit code if not 0."""
    if not isinstance(content, Mapping):
        return ""
    parts = [("output", content.get("stdout")), ("errors", content.get("stderr"))]
    if content.get("encrypted_stdout"):
        parts.append(("output", "(encrypted: it came from the web search)"))
    shown = [f"── {name} ──\n{str(text).rstrip()}" for name, text in parts if str(text or "").strip()]
    if content.get("return_code"):
        shown.append(f"── ended with code {content['return_code']} ──")
    return "\n".join(shown)


def _mcp(call: Block, content: Any) -> tuple[str, str]:
    title = f"{call.get('server_name') or 'MCP'}: {call['name']}"
    return title, f"{_arguments(call)}\n{_texts(content)}".strip()


def _any_tool(call: Block, content: Any) -> tuple[str, str]:
    output = _program_output(content) or _texts(content)
    return f"Tool call: {call['name']}", f"{_arguments(call)}\n{output}".strip()


_DESCRIPTIONS: Mapping[str, Callable[[Block, Any], tuple[str, str]]] = {
    "web_search": _search,
    "web_fetch": _fetch,
    "code_execution": _code,
    "bash_code_execution": _code,
    "text_editor_code_execution": _editor,
}


def _arguments(call: Block) -> str:
    return _json(call["input"]) if call["input"] else ""


def _texts(content: Any) -> str:
    """The text of a result; its JSON if it is not text."""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(isinstance(each, Mapping) and "text" in each for each in content):
        return "\n".join(str(each["text"]) for each in content)
    return _json(content) if content else ""


def _error(content: Any) -> str:
    """The API's error code of a failed tool, with spaces; empty if it did not fail."""
    code = content.get("error_code") if isinstance(content, Mapping) else None
    return _line(str(code).replace("_", " ")) if code else ""


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def _line(text: Any) -> str:
    return join_line(str(text))


def _short(title: str) -> str:
    return short_line(title, MAX_TITLE_CHARACTERS)


MAX_EXCERPT_CHARACTERS = 60


def arguments_text(given: Any) -> str:
    """A call's arguments as JSON, those of several lines as their text. Each character can be seen, and no two look
    alike."""
    named = isinstance(given, Mapping) and all(name.isidentifier() for name in given)
    if not named or not any(map(_has_lines, given.values())):
        return visible(_json(given))
    if len(given) == 1:
        return visible("".join(f"{name}:\n{value}" for name, value in given.items()))
    listed = "\n".join(_argument(name, value) for name, value in given.items())
    return visible(f"({len(given)} arguments)\n{listed}")


def _argument(name: str, value: Any) -> str:
    """One of several arguments: text of several lines is indented, so that no line of it looks like an argument."""
    if not _has_lines(value):
        return f"{name}: {_json(value)}"
    return "\n".join([f"{name}:", *(f"    {line}" for line in value.split("\n"))])


def _has_lines(value: Any) -> bool:
    return isinstance(value, str) and "\n" in value


def result_text(result: Block) -> str:
    """The text of a tool result that was sent to Claude."""
    content = result.get("content")
    pieces = blocks({"content": content}) if isinstance(content, str | list | tuple) else ()
    return "\n".join(str(block.get("text", f"[{block.get('type')}]")) for block in pieces)


def notebook_tool_call(call: Block, result: Block | None) -> tuple[str, str]:
    """The title and text of a notebook tool's call and result; of an incomplete call, its JSON so far."""
    partial = call.get("partial_json")
    given = visible(str(partial)) if partial else arguments_text(call.get("input"))
    title = f"Tool call: {visible(str(call.get('name')))}"
    if result is None:
        return title, given
    text = result_text(result)
    failed = "failed: " if result.get("is_error") else ""
    outcome = "not run" if text == NOT_RUN else f"{failed}{short_line(text, MAX_EXCERPT_CHARACTERS)}"
    return f"{title} → {outcome}", f"{given}\n\n→ {text}"
