"""JSON schemas of the record: turns and their parts, and the content blocks that each role may send.

Prompts are checked strictly, since we make them; replies loosely, since the API may add block types and fields. No
schema allows what the API refuses: with such a block in the history, it would refuse every later request.
Sources: CLAUDE_API.md §3, the SDK's `*_block_param.py`, and `offline/rules/`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

MAX_TOKENS = 10**12
MAX_SECONDS = 4e9
MAX_CALLS = 10_000
MAX_ATTACHED = 10_000
MAX_ASKED_CHARACTERS = 200
IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")

Schema = dict[str, Any]


def check(record: Mapping[str, Any]) -> str | None:
    """Check a record against the schema, and each block of its turns against the schema of its type.

    Returns what is wrong and where, without quoting the record, which may come from somebody else; `None` if valid.
    """
    import fastjsonschema

    try:
        _record_checker()(record)
        turns = [record["turn"], *record.get("others", ())] if "turn" in record else record.get("turns", ())
        messages = [message for turn in turns for message in turn["messages"]]
        if "pin" in record and record["pin"]["content"]:
            messages.append({"role": "user", "content": record["pin"]["content"]})
        return next(filter(None, map(_check_message, messages)), None)
    except fastjsonschema.JsonSchemaValueException as error:
        where = ".".join(str(part) for part in error.path[1:])
        return f"{where or 'it'} is not as it should be ({error.rule})"


def fits_reply(block: Mapping[str, Any]) -> bool:
    """Whether a block of a reply, which is plain JSON, may stand in the record, and so in the conversation."""
    import fastjsonschema

    try:
        _base_checker()(block)
        return _check_message({"role": "assistant", "content": [block]}) is None
    except fastjsonschema.JsonSchemaValueException:
        return False


def fits_citation(citation: Any) -> bool:
    """Whether a citation is what the API sends and takes; one of an unknown type fits if it has a type."""
    import fastjsonschema

    try:
        _citation_checker("")(citation)
        if citation["type"] in _CITATION_FIELDS:
            _citation_checker(citation["type"])(citation)
    except fastjsonschema.JsonSchemaValueException:
        return False
    return True


def odd_usage(usage: Mapping[str, Any]) -> set[str]:
    """The names of the fields of a usage that do not fit the schema."""
    import fastjsonschema

    try:
        _usage_checker("")(usage)
        return set()
    except fastjsonschema.JsonSchemaValueException:
        return {name for name in usage.keys() & _USAGE["properties"].keys() if not _fits_usage(name, usage[name])}


def _fits_usage(name: str, value: Any) -> bool:
    import fastjsonschema

    try:
        _usage_checker(name)(value)
    except fastjsonschema.JsonSchemaValueException:
        return False
    return True


def _check_message(message: Mapping[str, Any]) -> str | None:
    role = message["role"]
    if role == "user" and not message["content"]:
        return "a prompt in it is empty"
    for block in message["content"]:
        kind = block["type"]
        if kind in _BLOCKS[role]:
            _block_checker(role, kind)(block)
        elif role == "user" or kind in _BLOCKS["user"]:
            return f"a {'prompt' if role == 'user' else 'reply'} in it has a block of a kind that does not belong there"
        if role == "assistant" and block.get("cache_control") is not None:
            return "a reply in it sets a cache breakpoint of its own"
    return None


def _object(required: Iterable[str], /, *, closed: bool = False, **properties: Schema) -> Schema:
    extra = {"additionalProperties": False} if closed else {}
    return {"type": "object", "required": list(required), "properties": properties, **extra}


def _array(items: Schema, **limits: int) -> Schema:
    return {"type": "array", "items": items, **limits}


def _or_null(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


_STRING: Schema = {"type": "string"}
_NOT_EMPTY: Schema = {"type": "string", "minLength": 1}
_NOT_BLANK: Schema = {"type": "string", "pattern": r"\S"}
_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 300}
_TOOL_NAME: Schema = {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,128}$"}
_TOOL_ID: Schema = {"type": "string", "pattern": "^[a-zA-Z0-9_-]+$", "maxLength": 300}
_BOOLEAN: Schema = {"type": "boolean"}
_OBJECT: Schema = {"type": "object"}
_COUNT: Schema = {"type": ["integer", "null"], "minimum": 0, "maximum": MAX_TOKENS}
_SECONDS: Schema = {"type": "number", "minimum": 0, "maximum": MAX_SECONDS}
_TYPED = _object(["type"], type=_NAME)
_CITATIONS = _or_null(_array(_TYPED))


def _source(kind: str, **fields: Schema) -> Schema:
    return _object(["type", *fields], closed=True, type={"const": kind}, **fields)


_BY_REFERENCE = (
    _source("url", url={"type": "string", "pattern": "^https?://"}),
    _source("file", file_id=_NOT_EMPTY),
)
_IMAGE_TYPE: Schema = {"enum": list(IMAGE_TYPES)}
_INLINE_IMAGE = _source("base64", media_type=_IMAGE_TYPE, data=_NOT_EMPTY)
_IMAGE_BY_DIGEST = _source("sha256", media_type=_IMAGE_TYPE, sha256={"type": "string", "pattern": "^[0-9a-f]{64}$"})
_PDF_BY_DIGEST = _source(
    "sha256",
    media_type={"const": "application/pdf"},
    sha256={"type": "string", "pattern": "^[0-9a-f]{64}$"},
    path={"type": "string", "minLength": 1, "maxLength": 4_096},
)
_PDF = _source("base64", media_type={"const": "application/pdf"}, data=_NOT_EMPTY)
_PLAIN_TEXT = _source("text", media_type={"const": "text/plain"}, data=_NOT_EMPTY)


def _one_of(*kinds: Schema) -> Schema:
    return {"type": "object", "required": ["type"], "anyOf": list(kinds)}


# A cache breakpoint, which the reader's own blocks may bring along.
_MARK: Schema = _or_null(_object(["type"], closed=True, type={"const": "ephemeral"}, ttl={"enum": ["5m", "1h"]}))
_CITED: Schema = _or_null(_object([], closed=True, enabled=_BOOLEAN))
_INNER_TEXT = _object(
    ["type", "text"], closed=True, type={"const": "text"}, text=_NOT_BLANK, citations=_or_null(_array({}, maxItems=0))
)
_PROMPT_TEXT = {**_INNER_TEXT, "properties": {**_INNER_TEXT["properties"], "cache_control": _MARK}}
_IMAGE = _object(
    ["type", "source"],
    closed=True,
    type=_NAME,
    source=_one_of(_IMAGE_BY_DIGEST, _INLINE_IMAGE, *_BY_REFERENCE),
    transformations=_OBJECT,
    cache_control=_MARK,
)
_INNER_IMAGE = _object(["type", "source"], closed=True, type={"const": "image"}, source=_IMAGE["properties"]["source"])
_CHUNK_IMAGE = _object(
    ["type", "source"], closed=True, type={"const": "image"}, source=_one_of(_INLINE_IMAGE, *_BY_REFERENCE)
)
_CHUNKS = _source(
    "content", content={"anyOf": [_NOT_BLANK, _array({"anyOf": [_INNER_TEXT, _CHUNK_IMAGE]}, minItems=1)]}
)
_DOCUMENT = _object(
    ["type", "source"],
    closed=True,
    type=_NAME,
    source=_one_of(_PDF, _PDF_BY_DIGEST, _PLAIN_TEXT, _CHUNKS, *_BY_REFERENCE),
    title=_or_null(_STRING),
    context=_or_null(_STRING),
    citations=_CITED,
    cache_control=_MARK,
)
_SEARCH_RESULT = _object(
    ["type", "source", "title", "content"],
    closed=True,
    type=_NAME,
    source=_STRING,
    title=_STRING,
    content=_array(_INNER_TEXT, minItems=1),
    citations=_CITED,
    cache_control=_MARK,
)
_TOOL_RESULT = _object(
    ["type", "tool_use_id"],
    closed=True,
    type=_NAME,
    tool_use_id=_TOOL_ID,
    content={"anyOf": [{"type": ["string", "null"]}, _array({"anyOf": [_INNER_TEXT, _INNER_IMAGE]})]},
    is_error=_or_null(_BOOLEAN),
)
_TOOL_USE = _object(["id", "name", "input"], id=_TOOL_ID, name=_TOOL_NAME, input=_OBJECT)
_SERVER_RESULT = _object(["tool_use_id", "content"], tool_use_id=_TOOL_ID, content={"type": ["object", "array"]})

_INDEX: Schema = {"type": "integer", "minimum": 0}
_TITLE: Schema = {"type": ["string", "null"]}
# The fields of citations in a reply, by type (the SDK's `citation_*_location.py` and `citations_*_location.py`).
_CITATION_FIELDS: Mapping[str, Schema] = {
    "char_location": {"document_index": _INDEX, "start_char_index": _INDEX, "end_char_index": _INDEX},
    "page_location": {"document_index": _INDEX, "start_page_number": _INDEX, "end_page_number": _INDEX},
    "content_block_location": {"document_index": _INDEX, "start_block_index": _INDEX, "end_block_index": _INDEX},
    "search_result_location": {
        "source": _STRING,
        **dict.fromkeys(("search_result_index", "start_block_index", "end_block_index"), _INDEX),
    },
    "web_search_result_location": {"encrypted_index": _STRING, "url": _STRING},
}

# Schemas of content blocks, by role and type. A prompt may hold no other blocks; in a reply, unknown types and fields
# are kept unchanged.
_BLOCKS: Mapping[str, Mapping[str, Schema]] = {
    "user": {
        **{"text": _PROMPT_TEXT, "image": _IMAGE, "document": _DOCUMENT, "search_result": _SEARCH_RESULT},
        "tool_result": _TOOL_RESULT,
    },
    "assistant": {
        "text": _object(["text"], text=_STRING, citations=_CITATIONS),
        "thinking": _object(["thinking", "signature"], thinking=_STRING, signature=_NOT_EMPTY),
        "redacted_thinking": _object(["data"], data=_NOT_EMPTY),
        "tool_use": _TOOL_USE,
        "server_tool_use": _TOOL_USE,
        "mcp_tool_use": _TOOL_USE,
        "container_upload": _object(["file_id"], file_id=_NOT_EMPTY),
        "web_search_tool_result": _SERVER_RESULT,
        "web_fetch_tool_result": _SERVER_RESULT,
        "code_execution_tool_result": _SERVER_RESULT,
        "bash_code_execution_tool_result": _SERVER_RESULT,
        "text_editor_code_execution_tool_result": _SERVER_RESULT,
        "tool_search_tool_result": _SERVER_RESULT,
        "advisor_tool_result": _SERVER_RESULT,
        "mcp_tool_result": _object(["tool_use_id"], tool_use_id=_TOOL_ID),
    },
}

# The types of blocks of a reply whose fields are known.
REPLY_TYPES = frozenset(_BLOCKS["assistant"])

# Fields that are read from blocks of every type (`request.build.messages_to_send`, `conversation/record.py`).
_BLOCK = _object(
    ["type"], type=_NAME, id=_or_null(_STRING), tool_use_id=_or_null(_STRING), partial_json=_or_null(_STRING)
)
_PARTIAL: Schema = {
    **_object(
        ["type"],
        type=_NAME,
        id=_or_null(_STRING),
        tool_use_id=_or_null(_STRING),
        partial_json=_or_null(_STRING),
        text=_STRING,
        thinking=_or_null(_STRING),
        citations=_CITATIONS,
    ),
    "if": {"properties": {"type": {"const": "text"}}},
    "then": {"required": ["text"]},
}

_COUNTS: Mapping[str, Any] = {
    "input_tokens": _COUNT,
    "output_tokens": _COUNT,
    "cache_read_input_tokens": _COUNT,
    "cache_creation_input_tokens": _COUNT,
    "cache_creation": _or_null(
        _object([], ephemeral_5m_input_tokens=_COUNT, ephemeral_1h_input_tokens=_COUNT),
    ),
    "output_tokens_details": _or_null(_object([], thinking_tokens=_COUNT)),
    "server_tool_use": _or_null(_object([], web_search_requests=_COUNT)),
    "service_tier": _or_null(_STRING),
    "speed": _or_null(_STRING),
    "inference_geo": _or_null(_STRING),
}
_ITERATION = _object([], model=_or_null(_NAME), **_COUNTS)
_USAGE = _object([], **_COUNTS, iterations=_or_null(_array(_ITERATION, maxItems=MAX_CALLS)))
_CALL = _object(
    ["model", "usage"],
    model=_NAME,
    usage=_USAGE,
    request_id=_or_null(_STRING),
    message_id=_or_null(_NAME),
    stop_reason=_or_null(_NAME),
    stop_details=_or_null(_OBJECT),
    stop_sequence=_or_null(_STRING),
    started=_SECONDS,
    first_token=_or_null(_SECONDS),
    seconds=_SECONDS,
    provider=_NAME,
    answered=_BOOLEAN,
    replayed=_BOOLEAN,
    container=_or_null(_object(["id", "expires_at"], closed=True, id=_TOOL_ID, expires_at=_STRING)),
)
# Optional parameters may be null: `ClaudeMagic.extra_body` can take one away so.
_PARAMS = _object(
    [],
    model=_NAME,
    max_tokens={"type": "integer", "minimum": 0, "maximum": MAX_TOKENS},
    system={"type": ["string", "array", "null"], "items": _TYPED},
    thinking=_or_null(_OBJECT),
    output_config=_or_null(_OBJECT),
    stop_sequences=_or_null(_array(_STRING)),
    cache_control=_or_null(_OBJECT),
    tools=_array(_OBJECT),
)
_MADE: Schema = {
    "anyOf": [
        _object(
            ["type", "source", "title", "file_id"],
            closed=True,
            type={"const": "image"},
            source=_one_of(_IMAGE_BY_DIGEST, _INLINE_IMAGE),
            title=_STRING,
            file_id=_STRING,
        ),
        _object(
            ["type", "title", "file_id"],
            closed=True,
            type={"const": "file"},
            title=_STRING,
            file_id=_STRING,
            size={"type": "integer", "minimum": 0},
        ),
    ]
}
_AMOUNT: Schema = {"type": "integer", "minimum": 0, "maximum": MAX_TOKENS}
_ATTACHED = _object(["name", "kind", "tokens"], closed=True, name=_NAME, kind=_NAME, tokens=_AMOUNT, masked=_AMOUNT)
_MESSAGE = _object(["role", "content"], closed=True, role={"enum": ["user", "assistant"]}, content=_array(_BLOCK))
_TURN = _object(
    ["id", "messages", "calls", "status", "created"],
    id=_NAME,
    messages=_array(_MESSAGE, minItems=2),
    calls=_array(_CALL, minItems=1, maxItems=MAX_CALLS),
    cell_id=_or_null(_NAME),
    chat=_NAME,
    status={"enum": ["complete", "interrupted", "refused"]},
    prefix=_STRING,
    params=_PARAMS,
    created=_SECONDS,
    once=_BOOLEAN,
    execution_count=_or_null({"type": "integer", "minimum": 0, "maximum": MAX_TOKENS}),
    partial=_array(_PARTIAL),
    made=_array(_MADE, maxItems=MAX_CALLS),
    notes=_array(_STRING),
    along=_array(_ATTACHED, maxItems=MAX_ATTACHED),
    seconds=_or_null(_SECONDS),
    asked={"type": "string", "maxLength": MAX_ASKED_CHARACTERS},
)
_WHOLE: Schema = {"type": "integer", "minimum": 0, "maximum": MAX_TOKENS}
_MAPPED = _object(
    ["id", "model", "provider", "created", "rows"],
    id=_NAME,
    model=_NAME,
    provider=_NAME,
    created=_SECONDS,
    rows=_WHOLE,
    answered=_WHOLE,
    failed=_WHOLE,
    earlier=_WHOLE,
    shared=_WHOLE,
    calls=_WHOLE,
    input_tokens=_WHOLE,
    cached_tokens=_WHOLE,
    written_tokens=_WHOLE,
    output_tokens=_WHOLE,
    thinking_tokens=_WHOLE,
    dollars=_or_null({"type": "string", "pattern": r"^[0-9]{1,12}(\.[0-9]{1,40})?$"}),
    at_least=_BOOLEAN,
    seconds=_SECONDS,
    batches=_array(_TOOL_ID, maxItems=MAX_CALLS),
    about={"type": "string", "pattern": "^[0-9a-f]{0,16}$"},
)
_REF_TURN: Schema = {"$ref": "#/definitions/turn"}  # compiled once: the schema of a turn is by far the largest
_RECORD = _object(
    [],
    turn=_REF_TURN,
    turns=_array(_REF_TURN),
    others=_array(_REF_TURN),
    instead_of=_array(_NAME),
    reset=_object(["chat", "created"], chat=_NAME, created=_SECONDS),
    pin=_object(
        ["name", "content", "ttl", "created"],
        closed=True,
        name=_NAME,
        content=_array(_BLOCK),
        ttl={"enum": ["5m", "1h"]},
        created=_SECONDS,
    ),
    system=_object(
        ["chat", "text", "created"],
        closed=True,
        chat=_NAME,
        text=_STRING,
        created=_SECONDS,
        ttl={"enum": ["5m", "1h"]},
    ),
    map=_MAPPED,
)


def prepare() -> None:
    """Compile the checks that every record needs, which takes 0.2 s the first time."""
    _record_checker()
    _base_checker()
    _usage_checker("")


@functools.cache
def _record_checker() -> Callable[[Any], Any]:
    return _compiled({**_RECORD, "definitions": {"turn": _TURN}})


@functools.cache
def _block_checker(role: str, kind: str) -> Callable[[Any], Any]:
    return _compiled(_BLOCKS[role][kind])


@functools.cache
def _base_checker() -> Callable[[Any], Any]:
    return _compiled(_BLOCK)


@functools.cache
def _usage_checker(name: str) -> Callable[[Any], Any]:
    """The checker of a field of a usage; of the whole of it without a name."""
    return _compiled(_USAGE["properties"][name] if name else _USAGE)


@functools.cache
def _citation_checker(kind: str) -> Callable[[Any], Any]:
    """The checker of a citation of this type; without one, of what all have."""
    fields = _CITATION_FIELDS.get(kind)
    if fields is None:
        return _compiled(_TYPED)
    return _compiled(
        _object(["cited_text", *fields], cited_text=_STRING, document_title=_TITLE, title=_TITLE, **fields)
    )


def _compiled(schema: Schema) -> Callable[[Any], Any]:
    import fastjsonschema

    draft = {"$schema": "http://json-schema.org/draft-07/schema#"}
    checker: Callable[[Any], Any] = fastjsonschema.compile({**draft, **schema}, use_default=False)
    return checker
