"""What the public Claude cookbooks teach, as `%%claude` cells: shorter, and the same requests in substance.

The recipes are in `support/cookbooks.py`; the code for the SDK and the cells both run against the stand-in.
"""

from __future__ import annotations

import base64
import io
import re
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import anthropic
import pytest

from claude_magic import models, offline
from support.cookbooks import RECIPES, Recipe
from support.kernel import Kernel

pytestmark = pytest.mark.kernel

# What a request says of its transport.
TRANSPORT = frozenset({"stream", "diagnostics"})
COMPARED = frozenset(
    {"model", "max_tokens", "system", "thinking", "tools", "tool_choice", "output_config", "messages", "cache_control"}
)


@pytest.mark.parametrize("recipe", RECIPES, ids=[recipe.name for recipe in RECIPES])
def test_the_cells_ask_what_the_recipe_asks_and_are_shorter(
    recipe: Recipe, standin: offline.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(textwrap.dedent(recipe.files), {})
    namespace: dict[str, Any] = {"client": anthropic.Anthropic(base_url=standin.url, api_key="sk-ant-test")}
    exec(textwrap.dedent(recipe.before), namespace)
    exec(textwrap.dedent(recipe.sdk), namespace)
    wanted = asked(standin, recipe)
    standin.requests.clear()
    standin.batches.all.clear()
    run_cells(recipe, standin.url, tmp_path)
    assert wanted
    assert asked(standin, recipe) == wanted
    assert len("\n".join(recipe.cells)) < len(textwrap.dedent(recipe.sdk).strip())
    assert "extra_body" not in "".join(recipe.cells)


def run_cells(recipe: Recipe, address: str, folder: Path) -> None:
    own = {"JUPYTER_DATA_DIR": str(folder / "data")}
    kernel = Kernel(folder, ANTHROPIC_BASE_URL=address, ANTHROPIC_API_KEY="sk-ant-test", **own)
    try:
        kernel.run("%load_ext claude_magic")
        for at, cell in enumerate((textwrap.dedent(recipe.before), *recipe.cells)):
            assert kernel.run(cell, f"cell {at}").error is None, cell
    finally:
        kernel.stop()


def asked(standin: offline.Server, recipe: Recipe) -> list[Any]:
    """What was asked in single requests, and in batches, row by row."""
    batches = [
        [substance(row["params"], cached=recipe.is_cached) for row in batch.requests]
        for batch in standin.batches.all.values()
    ]
    return [*(substance(request, cached=recipe.is_cached) for request in standin.requests), *batches]


def substance(request: Mapping[str, Any], *, cached: bool) -> dict[str, Any]:
    """What a request asks of the model, not how it is streamed; with `cached`, where it has breakpoints."""
    model = models.lookup(request["model"])
    thinking = request.get("thinking") or {"type": "adaptive" if model and model.thinks else "disabled"}
    whole = [("breakpoint", request["cache_control"].get("ttl", "5m"))] if request.get("cache_control") else []
    return {
        "model": request["model"],
        "max_tokens": request["max_tokens"],
        "system": plain(request.get("system") or [], {}, cached),
        "schema": outline((request.get("output_config") or {}).get("format", {}).get("schema")),
        "tools": [(tool["name"], tool["description"], parameters(tool)) for tool in request.get("tools") or ()],
        "tool choice": request.get("tool_choice") or ({"type": "auto"} if request.get("tools") else None),
        "thinking": {name: value for name, value in thinking.items() if name != "display"},
        "messages": [*conversation(request["messages"], cached), *(whole if cached else ())],
        "others": {name: value for name, value in request.items() if name not in TRANSPORT | COMPARED},
    }


def conversation(messages: Iterable[Mapping[str, Any]], cached: bool) -> list[Any]:
    """All content, each part with who says it: the API takes neighbouring messages of one role as one."""
    calls: dict[str, int] = {}
    said = [(message["role"], part) for message in messages for part in plain(message["content"], calls, cached)]
    return [part if part[0] == "breakpoint" else (role, part) for role, part in said]


def outline(schema: Any, *unsaid: str) -> Any:
    """What a schema asks for, with its definitions in their place, without titles and what else is `unsaid`."""
    left_out = unsaid or ("description",)

    def at(each: Any, is_names: bool = False) -> Any:
        if isinstance(each, list):
            return [at(item) for item in each]
        if not isinstance(each, dict):
            return each
        if "$ref" in each:
            return at(schema["$defs"][each["$ref"].rpartition("/")[2]])
        return {
            name: at(value, name == "properties" and not is_names)
            for name, value in each.items()
            if is_names or name not in ("title", "$defs", *left_out)
        }

    return at(schema)


def parameters(tool: Mapping[str, Any]) -> Any:
    """A tool's parameters, with what is said of each; a schema closed to others asks for the same."""
    found = outline(tool["input_schema"], "")
    return {name: value for name, value in found.items() if (name, value) != ("additionalProperties", False)}


def plain(content: Any, calls: dict[str, int], cached: bool) -> list[Any]:
    """The parts of content without signatures: calls by their number, pictures by their pixels."""
    found: list[Any] = []
    for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
        found.append(part(block, calls))
        if cached and block.get("cache_control"):
            found.append(("breakpoint", block["cache_control"].get("ttl", "5m")))
    return found


def part(block: Mapping[str, Any], calls: dict[str, int]) -> tuple[Any, ...]:
    match block["type"]:
        case "text":
            return "text", block["text"].strip()
        case "thinking":
            return ("thinking",)  # what of it is shown is a matter of `display`
        case "image":
            return "image", block["source"]["media_type"], *pixels(block["source"]["data"])
        case "tool_use":
            return "call", calls.setdefault(block["id"], len(calls)), block["name"], block["input"]
        case "tool_result":
            content = [each[1] for each in plain(block["content"], {}, False)]
            return "result", calls[block["tool_use_id"]], block.get("is_error", False), content
    own = {name: value for name, value in block.items() if name != "cache_control" and not is_file_name(name, value)}
    return block["type"], own


def is_file_name(name: str, value: Any) -> bool:
    """Whether a block's field is a title that is just the name of its file."""
    return name == "title" and re.fullmatch(r"\w+\.(pdf|txt)", value) is not None


def pixels(data: str) -> tuple[Any, ...]:
    from PIL import Image

    image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
    return image.size, image.getpixel((0, 0))
