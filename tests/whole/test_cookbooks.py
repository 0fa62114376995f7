"""What the public Claude cookbooks teach, as `%%claude` cells: shorter, and the same requests in substance.

Each recipe is written here anew, for the SDK and for a notebook; both run against the stand-in.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import pytest

from claude_magic import offline
from support.kernel import Kernel

pytestmark = pytest.mark.kernel


@dataclass(frozen=True)
class Recipe:
    """What both share, the code for the SDK, and the cells that take its place."""

    name: str
    sdk: str
    cells: tuple[str, ...]
    shared: str = ""


THINKING = Recipe(
    "extended thinking",
    sdk="""
        reply = client.messages.create(
            model="claude-sonnet-4-5",
            max_tokens=4000,
            thinking={"type": "enabled", "budget_tokens": 2000},
            messages=[{"role": "user", "content": "Three people pay $30 for a room. Where is the last dollar?"}],
        )
        for block in reply.content:
            if block.type == "thinking":
                print(block.thinking)
            elif block.type == "text":
                print(block.text)
    """,
    cells=(
        "%%claude -m claude-sonnet-4-5 --max-tokens 4000 --thinking 2000\n"
        "Three people pay $30 for a room. Where is the last dollar?",
    ),
)
IMAGES = Recipe(
    "images",
    shared="""
        from PIL import Image
        Image.new("RGB", (60, 40), "teal").save("one.png")
        Image.new("RGB", (60, 40), "red").save("two.png")
    """,
    sdk="""
        import base64
        def encoded(path):
            with open(path, "rb") as file:
                return base64.b64encode(file.read()).decode("utf-8")
        def image(path):
            source = {"type": "base64", "media_type": "image/png", "data": encoded(path)}
            return {"type": "image", "source": source}
        reply = client.messages.create(
            model="claude-opus-5-5",
            max_tokens=2048,
            messages=[{"role": "user", "content": [
                {"type": "text", "text": "Image 1:"}, image("one.png"),
                {"type": "text", "text": "Image 2:"}, image("two.png"),
                {"type": "text", "text": "How are these images different?"},
            ]}],
        )
        print(next(block.text for block in reply.content if block.type == "text"))
    """,
    cells=(
        "from PIL import Image\none, two = Image.open('one.png'), Image.open('two.png')",
        "%%claude --max-tokens 2048\nImage 1:{{one}}Image 2:{{two}}How are these images different?",
    ),
)
PDF = Recipe(
    "PDF",
    shared="""
        from support.pdf_files import pdf_of
        open("paper.pdf", "wb").write(pdf_of(2))
    """,
    sdk="""
        import base64
        with open("paper.pdf", "rb") as file:
            data = base64.b64encode(file.read()).decode("utf-8")
        document = {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": data},
        }
        reply = client.messages.create(
            model="claude-opus-5-5",
            max_tokens=2048,
            messages=[{"role": "user", "content": [
                document, {"type": "text", "text": "Summarize the abstract at a kindergarten reading level."},
            ]}],
        )
        print(next(block.text for block in reply.content if block.type == "text"))
    """,
    cells=("%%claude -f paper.pdf --max-tokens 2048\nSummarize the abstract at a kindergarten reading level.",),
)
JSON = Recipe(
    "structured JSON",
    sdk="""
        import json
        schema = {
            "type": "object",
            "properties": {
                "entities": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "name": {"type": "string"},
                            "kind": {"type": "string"},
                            "context": {"type": "string"},
                        },
                        "required": ["name", "kind", "context"],
                        "additionalProperties": False,
                    },
                },
            },
            "required": ["entities"],
            "additionalProperties": False,
        }
        reply = client.messages.create(
            model="claude-opus-5-5",
            max_tokens=4096,
            output_config={"format": {"type": "json_schema", "schema": schema}},
            messages=[{"role": "user", "content": "Which entities? John works at Google in New York."}],
        )
        entities = json.loads(next(block.text for block in reply.content if block.type == "text"))
    """,
    cells=(
        "from dataclasses import dataclass\n\n"
        "@dataclass\nclass Entity:\n    name: str\n    kind: str\n    context: str\n\n"
        "@dataclass\nclass Found:\n    entities: list[Entity]",
        "%%claude --schema Found --out entities --max-tokens 4096\nWhich entities? John works at Google in New York.",
    ),
)
TOOL = Recipe(
    "tool use",
    sdk="""
        def calculator(expression):
            return str(eval(expression, {"__builtins__": {}}))
        tools = [{
            "name": "calculator",
            "description": "A simple calculator that performs basic arithmetic operations.",
            "input_schema": {
                "type": "object",
                "properties": {"expression": {"type": "string", "description": "What to evaluate, such as 2 + 3 * 4."}},
                "required": ["expression"],
            },
        }]
        messages = [{"role": "user", "content": "What does the calculator say?"}]
        while True:
            reply = client.messages.create(model="claude-opus-5-5", max_tokens=4096, tools=tools, messages=messages)
            if reply.stop_reason != "tool_use":
                break
            messages.append({"role": "assistant", "content": reply.content})
            results = []
            for block in reply.content:
                if block.type == "tool_use":
                    try:
                        result, failed = calculator(**block.input), False
                    except Exception as error:
                        result, failed = str(error), True
                    results.append({
                        "type": "tool_result", "tool_use_id": block.id, "content": result, "is_error": failed,
                    })
            messages.append({"role": "user", "content": results})
        print(next(block.text for block in reply.content if block.type == "text"))
    """,
    cells=(
        "def calculator(expression: str) -> str:\n"
        '    """A simple calculator that performs basic arithmetic operations.\n\n'
        '    Args:\n        expression: What to evaluate, such as 2 + 3 * 4.\n    """\n'
        '    return str(eval(expression, {"__builtins__": {}}))',
        '%config ClaudeMagic.approve = {"calculator": "always"}',
        "%%claude --tools calculator --max-tokens 4096\nWhat does the calculator say?",
    ),
)
RECIPES = (THINKING, TOOL, IMAGES, PDF, JSON)


@pytest.mark.parametrize("recipe", RECIPES, ids=[recipe.name for recipe in RECIPES])
def test_the_cells_ask_what_the_recipe_asks_and_are_shorter(
    recipe: Recipe, standin: offline.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(textwrap.dedent(recipe.shared), {})
    client = anthropic.Anthropic(base_url=standin.url, api_key="sk-ant-test")
    exec(textwrap.dedent(recipe.sdk), {"client": client, "anthropic": anthropic})
    wanted = [substance(request) for request in standin.requests]
    standin.requests.clear()
    kernel = Kernel(tmp_path, ANTHROPIC_BASE_URL=standin.url, ANTHROPIC_API_KEY="sk-ant-test")
    try:
        kernel.run("%load_ext claude_magic")
        for at, cell in enumerate(recipe.cells):
            assert kernel.run(cell, f"cell {at}").error is None
    finally:
        kernel.stop()
    assert [substance(request) for request in standin.requests] == wanted
    assert len("\n".join(recipe.cells)) < len(textwrap.dedent(recipe.sdk).strip())


def substance(request: Mapping[str, Any]) -> dict[str, Any]:
    """What a request asks of the model: not how it is cached, streamed, or shown."""
    thinking = {name: value for name, value in (request.get("thinking") or {}).items() if name != "display"}
    return {
        "model": request["model"],
        "max_tokens": request["max_tokens"],
        "schema": outline((request.get("output_config") or {}).get("format", {}).get("schema")),
        "tools": [(tool["name"], tool["description"], described(tool)) for tool in request.get("tools", ())],
        "thinking": thinking if thinking.get("type") == "enabled" else None,
        "messages": [(message["role"], plain(message["content"])) for message in request["messages"]],
    }


def outline(schema: Any) -> Any:
    """What a schema asks for, with its definitions in their place: no titles, no descriptions."""

    def at(each: Any) -> Any:
        if isinstance(each, list):
            return [at(item) for item in each]
        if not isinstance(each, dict):
            return each
        if "$ref" in each:
            return at(schema["$defs"][each["$ref"].rpartition("/")[2]])
        return {name: at(value) for name, value in each.items() if name not in ("title", "description", "$defs")}

    return at(schema)


def described(tool: Mapping[str, Any]) -> Any:
    """A tool's parameters, with what is said of each."""
    schema = tool["input_schema"]
    said = {name: value.get("description") for name, value in schema["properties"].items()}
    return said, {name: value["type"] for name, value in schema["properties"].items()}, schema.get("required", [])


def plain(content: Any) -> list[Any]:
    """Content without breakpoints and signatures: neighbouring text as one, pictures by their pixels."""
    found: list[Any] = []
    for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
        if block["type"] == "text":
            found.append(block["text"].strip())
        elif block["type"] == "image":
            found.append(("image", block["source"]["media_type"], pixels(block["source"]["data"])))
        elif block["type"] == "tool_use":
            found.append((block["name"], block["input"]))
        elif block["type"] == "tool_result":
            found.append(("result", block["is_error"]))
        elif block["type"] != "thinking":
            found.append({name: value for name, value in block.items() if name not in ("cache_control", "title")})
    return found


def pixels(data: str) -> tuple[Any, ...]:
    import base64
    import io

    from PIL import Image

    image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
    return image.size, image.getpixel((0, 0))
