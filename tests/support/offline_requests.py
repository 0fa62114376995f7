"""Talks with the offline stand-in: through the real SDK over real HTTP, or past it."""

from __future__ import annotations

import base64
import functools
import io
import json
import urllib.error
import urllib.request
from typing import Any

import anthropic
from PIL import Image

from claude_magic import offline

MODEL = "claude-opus-5-5"
PLAIN = "claude-haiku-5-5"  # may go without thinking
SHOWN = {"type": "adaptive", "display": "summarized"}
WEATHER = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer", "minimum": 1, "maximum": 7},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            "hours": {"type": "array", "items": {"type": "number"}},
        },
        "required": ["city"],
    },
}
SIGNED_ELSEWHERE = {"type": "thinking", "thinking": "", "signature": "RXFvQkNrZ0lDeEFDR0FJcVFQ"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "rain"}
SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
DOCUMENT = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}}
MARK = {"type": "ephemeral"}
BUDGET = {"type": "enabled", "budget_tokens": 1024}


@functools.cache
def connect(server: offline.Server, key: str = "a key") -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key=key, base_url=server.url, max_retries=0)


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def text_of(message: dict[str, Any]) -> str:
    """The text of a message as it went over the wire."""
    content = message["content"]
    return content if isinstance(content, str) else "".join(each.get("text", "") for each in content)


def prompt_of(body: dict[str, Any]) -> str:
    """The text of a request's last message."""
    return text_of(body["messages"][-1])


def prompts(server: offline.Server) -> list[str]:
    """What was asked in the last request, in order."""
    return [text_of(message) for message in server.requests[-1]["messages"] if message["role"] == "user"]


def sent_back(server: offline.Server, kind: str) -> list[str]:
    """The texts, or the thinking, of the replies in the last request, in order."""
    replies = [message["content"] for message in server.requests[-1]["messages"] if message["role"] == "assistant"]
    return [block[kind] for content in replies for block in content if block["type"] == kind]


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


def image(width: int, height: int, kind: str = "PNG", media_type: str | None = None) -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.new("1" if kind == "PNG" else "RGB", (width, height)).save(buffer, kind)
    data = base64.b64encode(buffer.getvalue()).decode()
    media_type = media_type or f"image/{kind.lower()}"
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def ask(client: anthropic.Anthropic, *prompts: Any, **parameters: Any) -> dict[str, Any]:
    """One prompt, or a whole history of messages."""
    messages = [p if isinstance(p, dict) and "role" in p else user(p) for p in prompts]
    return client.messages.create(**{"model": MODEL, "max_tokens": 4000, "messages": messages, **parameters}).to_dict()


def said(message: dict[str, Any]) -> str:
    return "".join(block["text"] for block in message["content"] if block["type"] == "text")


def post(
    server: offline.Server, body: Any, path: str = "/v1/messages", key: str = "a key", betas: str = ""
) -> tuple[int, Any]:
    """A request as it is, past the SDK's own checks; the status and the body of the answer."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"x-api-key": key, "content-type": "application/json", "anthropic-beta": betas}
    request = urllib.request.Request(server.url + path, raw, headers)
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def beta(client: anthropic.Anthropic, betas: str, *prompts: Any, **parameters: Any) -> dict[str, Any]:
    """As `ask`, with beta headers."""
    messages = [p if isinstance(p, dict) and "role" in p else user(p) for p in prompts]
    asked = {"model": MODEL, "max_tokens": 4000, "messages": messages, **parameters}
    return client.beta.messages.create(betas=betas.split(), **asked).to_dict(warnings=False)


def refusal(server: offline.Server, betas: str = "", **parameters: Any) -> str:
    """What a request is refused with; empty where it is not."""
    status, body = post(server, {"model": MODEL, "max_tokens": 100, "messages": HELLO, **parameters}, betas=betas)
    return "" if status == 200 else str(body["error"]["message"])


def usage(message: dict[str, Any]) -> tuple[int, int, int]:
    counted = message["usage"]
    return counted["input_tokens"], counted["cache_creation_input_tokens"], counted["cache_read_input_tokens"]


HELLO = [user("hi"), assistant("Hello."), user("again")]
LONG = "a word and another " * 200
