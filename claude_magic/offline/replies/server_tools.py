"""Simulated server tools: web search, web fetch, code execution and MCP calls, with results labelled as made up.

A tool of the request is used where the prompt names it (`[[search words]]`, `[[fetch URL]]`, `[[run code]]`,
`[[mcp words]]`) or asks for something that it does.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ..request.history import Body, canonical, tools
from ..request.prompt import Prompt, shorten
from .containers import File, file_of
from .sentences import calculate

Blocks = list[dict[str, Any]]

LABELLED = "Offline stand-in, not Claude: nothing was searched"
_MARKS = re.compile(r"\[\[(search|fetch|run|mcp)\s*(.*?)\]\]", re.DOTALL)
_ASKS: dict[str, re.Pattern[str]] = {
    "search": re.compile(r"\b(search|look up|latest|news|web|current(ly)?|today)\b", re.IGNORECASE),
    "fetch": re.compile(r"https?://"),
    "run": re.compile(r"\b(run|execute|compute|calculate|simulate|plot|chart|draw|histogram)\b", re.IGNORECASE),
    "mcp": re.compile(r"\b(mcp|tool|server)\b", re.IGNORECASE),
}
_KINDS = {"search": "web_search", "fetch": "web_fetch", "run": "code_execution", "mcp": "mcp_toolset"}
# What a question has around the words to search for.
_SEARCHED = re.compile(r"^(please\s+)?(search|look up)(\s+the web)?(\s+for)?\s+|[\s.?!]+$", re.IGNORECASE)
_DRAWS = re.compile(r"\b(plot|chart|draw|histogram|figure)\b", re.IGNORECASE)
_FAILS = re.compile(r"\berror\b")
_CHART_PIXELS = (320, 200)


@dataclass(frozen=True)
class Work:
    """The output of server tools: content blocks, and the files that code execution made."""

    blocks: Blocks
    files: tuple[File, ...] = ()


def work(prompt: Prompt, body: Body, files: Sequence[str]) -> Work | None:
    """Run the request's server tools for a prompt; `None` where none is used.

    `files` are the names of the files in the container.
    """
    offered = {verb: tool for verb, kind in _KINDS.items() if (tool := _offered(body, kind)) is not None}
    if not offered or prompt.results:
        return None
    marked = [(verb, words.strip()) for verb, words in _MARKS.findall(prompt.text) if verb in offered]
    asked = marked or [(verb, prompt.question) for verb in offered if _ASKS[verb].search(prompt.question)]
    blocks: Blocks = []
    made: list[File] = []
    for number, (verb, words) in enumerate(asked):
        id = _id(body, number)
        result = _SIMULATE[verb](id, words or prompt.question, offered[verb], [*files, *(file.name for file in made)])
        blocks += result.blocks
        made += result.files
    return Work(blocks, tuple(made)) if blocks else None


def _offered(body: Body, kind: str) -> dict[str, Any] | None:
    return next((dict(tool) for tool in tools(body) if str(tool.get("type") or "").startswith(kind)), None)


def _id(body: Body, number: int) -> str:
    digest = hashlib.sha256(canonical([body["messages"], number])).hexdigest()
    return f"srvtoolu_standin_{digest[:16]}"


def _call(id: str, name: str, **given: Any) -> dict[str, Any]:
    return {"type": "server_tool_use", "id": id, "name": name, "input": given}


def _result(id: str, name: str, content: Any) -> dict[str, Any]:
    return {"type": f"{name}_tool_result", "tool_use_id": id, "content": content}


def _search(id: str, words: str, tool: Body, files: Sequence[str]) -> Work:
    searched = _SEARCHED.sub("", words)
    call = _call(id, "web_search", query=shorten(searched, 80))
    if _FAILS.search(words):
        error = {"type": "web_search_tool_result_error", "error_code": "unavailable"}
        return Work([call, _result(id, "web_search", error)])
    sites = tool.get("allowed_domains") or ["example.org", "example.com"]
    found = [
        {
            "type": "web_search_result",
            "title": f"{LABELLED} ({number})",
            "url": f"https://{site.rstrip('/')}/{number}",
            "encrypted_content": "b2ZmbGluZQ==",
            "page_age": None,
        }
        for number, site in enumerate(sites, 1)
    ]
    cited = {
        "type": "web_search_result_location",
        "cited_text": f"Nothing was searched for “{shorten(searched, 40)}”: this is the stand-in.",
        "url": found[0]["url"],
        "title": found[0]["title"],
        "encrypted_index": "aW5kZXg=",
    }
    said = {"type": "text", "text": "Nothing was looked up: the stand-in has no web.", "citations": [cited]}
    return Work([call, _result(id, "web_search", found), said])


def _fetch(id: str, words: str, tool: Body, files: Sequence[str]) -> Work:
    address = re.search(r"https?://[^\s\])>\"']+", words)
    url = address[0].rstrip(".,;") if address else "https://example.org/"
    call, host = _call(id, "web_fetch", url=url), urlsplit(url).hostname or ""
    allowed = tool.get("allowed_domains")
    if allowed and not any(host == each.split("/")[0] or host.endswith("." + each.split("/")[0]) for each in allowed):
        error = {"type": "web_fetch_tool_result_error", "error_code": "url_not_allowed"}
        return Work([call, _result(id, "web_fetch", error)])
    page = f"{LABELLED.rpartition(':')[0]}: no page was read at {url}."
    document = {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": page},
        "title": "A page of the stand-in",
    }
    if tool.get("citations"):
        document["citations"] = tool["citations"]
    found = {"type": "web_fetch_result", "url": url, "content": document, "retrieved_at": "1970-01-01T00:00:00Z"}
    return Work([call, _result(id, "web_fetch", found)])


def _run(id: str, words: str, tool: Body, files: Sequence[str]) -> Work:
    """Simulate code execution: arithmetic is computed, a chart is drawn, all other text is printed."""
    code, printed, made = f"print({words!r})", f"{words}\n", list[File]()
    if (value := calculate(words)) is not None:
        code, printed = f"print({words})", f"{value}\n"
    if _DRAWS.search(words):
        made = [file_of("chart.png", "image/png", _chart(words))]
        code = (
            f"import matplotlib.pyplot as plt\n\nplt.bar(range(5), [3, 1, 4, 1, 5])\nplt.savefig('chart.png')\n{code}"
        )
    if files:
        printed += f"files here: {', '.join(files)}\n"
    failed = bool(_FAILS.search(words))
    content = {
        "type": "code_execution_result",
        "stdout": "" if failed else printed,
        "stderr": "RuntimeError: the stand-in was told to fail\n" if failed else "",
        "return_code": int(failed),
        "content": [{"type": "code_execution_output", "file_id": file.id} for file in made],
    }
    return Work([_call(id, "code_execution", code=code), _result(id, "code_execution", content)], tuple(made))


def _chart(words: str) -> bytes:
    """A PNG of a bar chart with five bars, whose heights depend on the words."""
    from PIL import Image, ImageDraw

    height = _CHART_PIXELS[1]
    image = Image.new("RGB", _CHART_PIXELS, "white")
    pen = ImageDraw.Draw(image)
    for number, byte in enumerate(hashlib.sha256(words.encode()).digest()[:5]):
        left, top = 20 + number * 60, height - 20 - byte * (height - 40) // 255
        pen.rectangle((left, top, left + 40, height - 20), fill="steelblue")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _mcp(id: str, words: str, tool: Body, files: Sequence[str]) -> Work:
    mcp_id = id.replace("srvtoolu", "mcptoolu")
    call = {"type": "mcp_tool_use", "id": mcp_id, "name": "ask", "server_name": tool["mcp_server_name"]}
    said = [{"type": "text", "text": "The stand-in asks no server."}]
    result = {"type": "mcp_tool_result", "tool_use_id": mcp_id, "is_error": False, "content": said}
    return Work([{**call, "input": {"question": shorten(words, 80)}}, result])


_SIMULATE: dict[str, Callable[[str, str, Body, Sequence[str]], Work]] = {
    "search": _search,
    "fetch": _fetch,
    "run": _run,
    "mcp": _mcp,
}
