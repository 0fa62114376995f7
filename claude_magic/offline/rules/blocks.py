"""Rules for content blocks: the types that each role may send, and their fields.

Source: the SDK's `*_block_param.py`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ...content import pdf
from ..faults import Rejected
from ..request.history import Block, Placed, nested
from ..request.tokens import (
    MANY_IMAGES,
    MAX_IMAGE_BASE64_BYTES,
    MAX_SIDE_OF_MANY_PIXELS,
    MAX_SIDE_PIXELS,
    MEDIA_TYPES,
    picture,
)

# The most images, and the most PDF pages, of a request, by the model's context window.
MAX_COUNT, MAX_COUNT_BELOW_1M = 600, 100
CONTEXT_1M_TOKENS = 1_000_000
_MARK = {"type", "cache_control"}
# type of block → its fields; `None` where the stand-in does not check the fields
FIELDS: Mapping[str, set[str] | None] = {
    "text": _MARK | {"text", "citations"},
    "image": _MARK | {"source", "transformations"},
    "document": _MARK | {"source", "title", "context", "citations"},
    "search_result": _MARK | {"source", "title", "content", "citations"},
    "thinking": {"type", "thinking", "signature"},
    "redacted_thinking": {"type", "data"},
    "tool_use": _MARK | {"id", "name", "input", "caller", "toolset_name"},
    "tool_result": _MARK | {"tool_use_id", "content", "is_error", "toolset_name"},
    "server_tool_use": None,
    "web_search_tool_result": None,
    "web_fetch_tool_result": None,
    "code_execution_tool_result": None,
    "bash_code_execution_tool_result": None,
    "text_editor_code_execution_tool_result": None,
    "tool_search_tool_result": None,
    "advisor_tool_result": None,
    "mcp_tool_use": None,
    "mcp_tool_result": None,
    "mcp_tool_listing": None,
    "container_upload": None,
    "compaction": _MARK | {"content", "encrypted_content", "signature", "tool_changes"},
    "fallback": {"type", "from", "to", "trigger"},
}
_OF_DOCUMENT = {"cited_text", "document_index", "document_title"}
_OF_BLOCKS = {"start_block_index", "end_block_index"}
# type of citation → its fields in a request, all of them required (SDK 2.14, types/citation_*_param.py). Those of a
# reply have `file_id` as well (types/citation_char_location.py), which the API refuses.
CITATION_FIELDS: Mapping[str, set[str]] = {
    "char_location": _OF_DOCUMENT | {"start_char_index", "end_char_index"},
    "page_location": _OF_DOCUMENT | {"start_page_number", "end_page_number"},
    "content_block_location": _OF_DOCUMENT | _OF_BLOCKS,
    "web_search_result_location": {"cited_text", "encrypted_index", "title", "url"},
    "search_result_location": _OF_BLOCKS | {"cited_text", "search_result_index", "source", "title"},
}
_FROM_USER = ("text", "image", "document", "search_result", "tool_result", "container_upload", "compaction")
_FROM_SYSTEM = ("text",)
_FROM_ASSISTANT = tuple(kind for kind in FIELDS if kind not in ("image", "document", "search_result", "tool_result"))
_TAKEN = {"user": _FROM_USER, "assistant": _FROM_ASSISTANT, "system": _FROM_SYSTEM}
_REQUIRED: Mapping[str, Mapping[str, type]] = {
    "text": {"text": str},
    "image": {"source": dict},
    "document": {"source": dict},
    "search_result": {"source": str, "title": str, "content": list},
    "thinking": {"thinking": str, "signature": str},
    "redacted_thinking": {"data": str},
    "tool_use": {"id": str, "name": str, "input": dict},
    "tool_result": {"tool_use_id": str},
    "server_tool_use": {"id": str, "name": str, "input": dict},
    "mcp_tool_use": {"id": str, "name": str, "input": dict},
    "container_upload": {"file_id": str},
    "fallback": {"from": dict, "to": dict},
    **{kind: {"tool_use_id": str} for kind in FIELDS if kind.endswith("_tool_result")},
}
_TYPE_NAMES: Mapping[type, str] = {str: "string", dict: "dictionary", list: "list"}
_IN_TOOL_RESULT = ("text", "image", "document", "search_result", "tool_reference")


def check(block: Any, role: str, path: str) -> None:
    """Refuse a block that its role may not send, or whose fields are wrong for its type."""
    kind = block.get("type") if isinstance(block, dict) else None
    if kind is None:
        raise Rejected(
            f"{path}.type: Field required" if isinstance(block, dict) else f"{path}: Input should be an object"
        )
    if not isinstance(kind, str) or kind not in FIELDS:
        tags = ", ".join(f"'{each}'" for each in FIELDS)
        raise Rejected(f"{path}: Input tag '{kind}' found using 'type' does not match any of the expected tags: {tags}")
    if kind not in _TAKEN[role]:
        raise Rejected(f"{path}: `{kind}` blocks are not permitted in {role} messages")
    _fields(block, kind, path)
    if kind == "text" and role == "user" and block.get("citations"):
        raise Rejected(f"{path}.text.citations: citations are not permitted in user messages")
    if kind == "text":
        _citations(block.get("citations"), f"{path}.text.citations")
    if kind in _CHECKS:
        _CHECKS[kind](block, path)


def _fields(block: Block, kind: str, path: str) -> None:
    known = FIELDS.get(kind)
    for name in sorted(block.keys() - known) if known is not None else ():
        raise Rejected(f"{path}.{kind}.{name}: Extra inputs are not permitted")
    for name, kind_of_value in _REQUIRED.get(kind, {}).items():
        if name not in block:
            raise Rejected(f"{path}.{kind}.{name}: Field required")
        if not isinstance(block[name], kind_of_value):
            raise Rejected(f"{path}.{kind}.{name}: Input should be a valid {_TYPE_NAMES[kind_of_value]}")


def _citations(citations: Any, path: str) -> None:
    """The citations of a text: a list of the known kinds, with the fields that requests take."""
    if citations is None:
        return
    if not isinstance(citations, list):
        raise Rejected(f"{path}: Input should be a valid list")
    for i, citation in enumerate(citations):
        kind = citation.get("type") if isinstance(citation, dict) else None
        if not isinstance(kind, str) or kind not in CITATION_FIELDS:
            tags = ", ".join(f"'{each}'" for each in CITATION_FIELDS)
            found = "" if kind is None else f" '{kind}' found using 'type'"
            raise Rejected(f"{path}.{i}: Input tag{found} does not match any of the expected tags: {tags}")
        for name in sorted(citation.keys() - CITATION_FIELDS[kind] - {"type"}):
            raise Rejected(f"{path}.{i}.{kind}.{name}: Extra inputs are not permitted")
        for name in sorted(CITATION_FIELDS[kind] - citation.keys()):
            raise Rejected(f"{path}.{i}.{kind}.{name}: Field required")


def check_text(block: Block, path: str) -> None:
    """Refuse text that is empty or white space only."""
    if not isinstance(block.get("text"), str):
        raise Rejected(f"{path}.text: Input should be a valid string")
    if not block["text"]:
        if block.get("cache_control"):
            raise Rejected(f"{path}: cache_control cannot be set for empty text blocks")
        raise Rejected(f"{_scope(path)}: text content blocks must be non-empty")
    if not block["text"].strip():
        raise Rejected(f"{_scope(path)}: text content blocks must contain non-whitespace text")


def _scope(path: str) -> str:
    return path.split(".")[0]


def _image(block: Block, path: str) -> None:
    source = block["source"]
    match source.get("type"):
        case "base64":
            if source.get("media_type") not in MEDIA_TYPES.values():
                raise Rejected(
                    f"{path}.image.source.base64.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' "
                    "or 'image/webp'"
                )
            _base64(source, f"{path}.image", MAX_IMAGE_BASE64_BYTES)
        case "url" | "file":
            _reference(source, f"{path}.image.source")
        case kind:
            raise Rejected(
                f"{path}.image.source: Input tag '{kind}' found using 'type' does not match any of the expected tags: "
                "'base64', 'file', 'url'"
            )


def _base64(source: Block, path: str, max_bytes: int) -> None:
    data = source.get("data")
    if not isinstance(data, str) or not data:
        raise Rejected(f"{path}.source.base64.data: Input should be a valid string")
    if len(data) > max_bytes:
        raise Rejected(
            f"{path}.source.base64: image exceeds {max_bytes // 1024**2} MB maximum: {len(data)} bytes > "
            f"{max_bytes} bytes"
        )


def _reference(source: Block, path: str) -> None:
    name = "url" if source["type"] == "url" else "file_id"
    if not isinstance(source.get(name), str) or not source[name]:
        raise Rejected(f"{path}.{source['type']}.{name}: Field required")
    if name == "url" and not source["url"].startswith(("https://", "http://")):
        raise Rejected(f"{path}.url.url: Only HTTPS URLs are supported.")


def _document(block: Block, path: str) -> None:
    config = block.get("citations")
    if config is not None and (not isinstance(config, dict) or config.keys() - {"enabled"}):
        raise Rejected(f"{path}.document.citations: Input should be a valid dictionary with `enabled`")
    source = block["source"]
    match source.get("type"):
        case "base64":
            _pdf(source, f"{path}.document.source.base64")
        case "text":
            if source.get("media_type") != "text/plain":
                raise Rejected(f"{path}.document.source.text.media_type: Input should be 'text/plain'")
            if not isinstance(source.get("data"), str) or not source["data"]:
                raise Rejected(f"{path}.document.source.text.data: String should have at least 1 character")
        case "content":
            for i, inner in enumerate(_list(source.get("content"), f"{path}.document.source.content")):
                _inside(inner, ("text", "image"), f"{path}.document.source.content.{i}")
        case "url" | "file":
            _reference(source, f"{path}.document.source")
        case kind:
            raise Rejected(
                f"{path}.document.source: Input tag '{kind}' found using 'type' does not match any of the expected "
                "tags: 'base64', 'content', 'file', 'text', 'url'"
            )


def _pdf(source: Block, path: str) -> None:
    if source.get("media_type") != "application/pdf":
        raise Rejected(f"{path}.media_type: Input should be 'application/pdf'")
    try:
        raw = base64.b64decode(source.get("data", ""), validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise Rejected(f"{path}.data: Invalid base64 data") from None
    if b"%PDF-" not in raw[:1024]:
        raise Rejected(f"{path}.data: The PDF specified was not valid.")


def _tool_result(block: Block, path: str) -> None:
    content = block.get("content")
    if content is None or isinstance(content, str):
        return
    for i, inner in enumerate(_list(content, f"{path}.tool_result.content")):
        _inside(inner, _IN_TOOL_RESULT, f"{path}.content.{i}")


def _inside(block: Any, kinds: Iterable[str], path: str) -> None:
    kind = block.get("type") if isinstance(block, dict) else None
    if not isinstance(kind, str) or kind not in kinds:
        raise Rejected(f"{path}: Input tag '{kind}' found using 'type' does not match any of the expected tags")
    _fields(block, kind, path)
    if kind in _CHECKS:
        _CHECKS[kind](block, path)


def _list(value: Any, path: str) -> list[Any]:
    if not isinstance(value, list):
        raise Rejected(f"{path}: Input should be a valid list")
    return value


def _thinking(block: Block, path: str) -> None:
    if not block["signature"]:
        raise Rejected(f"{path}: Invalid `signature` in `thinking` block")


_CHECKS: Mapping[str, Callable[[Block, str], None]] = {
    "text": check_text,
    "image": _image,
    "document": _document,
    "tool_result": _tool_result,
    "thinking": _thinking,
}


def all_blocks(placed: Iterable[Placed]) -> Iterator[tuple[str, Block]]:
    """All blocks with their paths, also those in tool results."""
    for each in placed:
        yield from nested(each)


def check_sizes(placed: Iterable[Placed]) -> None:
    """Refuse images of another format than declared, and images that are too large for a request with so many."""
    images = [(path, block) for path, block in all_blocks(placed) if block["type"] == "image"]
    limit_pixels = MAX_SIDE_OF_MANY_PIXELS if len(images) > MANY_IMAGES else MAX_SIDE_PIXELS
    large = []
    for path, block in images:
        source = block["source"]
        if source["type"] != "base64":
            continue
        size = picture(source["data"], f"{path}.image")
        if size.media_type != source["media_type"]:
            raise Rejected(
                f"{path}.image.source.base64: The image was specified using the {source['media_type']} media type, "
                f"but the image appears to be a {size.media_type} image"
            )
        if max(size.width, size.height) > limit_pixels:
            large.append(path)
    if large:
        _too_large(large, limit_pixels)


def check_counts(placed: Iterable[Placed], context_tokens: int) -> None:
    """Refuse more images, or more PDF pages, than a model with this context window takes (CLAUDE_API.md §3)."""
    most = MAX_COUNT if context_tokens >= CONTEXT_1M_TOKENS else MAX_COUNT_BELOW_1M
    found = list(all_blocks(placed))
    images = sum(block["type"] == "image" for _, block in found)
    if images > most:
        raise Rejected(f"messages: too many images: {images} > {most} maximum")
    pdfs = [b["source"]["data"] for _, b in found if b["type"] == "document" and b["source"]["type"] == "base64"]
    pages = sum(pdf.look(base64.b64decode(data)).pages or 0 for data in pdfs)
    if pages > most:
        raise Rejected(f"messages: A maximum of {most} PDF pages may be provided.")


def _too_large(paths: list[str], limit_pixels: int) -> None:
    many = " for many-image requests" if limit_pixels == MAX_SIDE_OF_MANY_PIXELS else ""
    raise Rejected(
        f"{paths[0]}.image.source.base64.data: At least one of the image dimensions exceed max allowed size{many}: "
        f"{limit_pixels} pixels",
        details={
            "error_code": "image_dimensions_too_large",
            "max_side_length_pixels": limit_pixels,
            "paths": paths,
        },
    )
