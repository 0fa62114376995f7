"""The list of models, `GET /v1/models`, in the API's form (`anthropic/types/model_info.py`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..models import EFFORTS, MODELS, Model
from .faults import Rejected
from .rules.context_editing import compacts
from .rules.parameters import known_model

_THINKING_TYPES = ("adaptive", "between_tools", "disabled", "enabled")
_LISTED = ("active", "deprecated")  # where the query names none (SDK 2.12, `model_list_params.py`)
_MAX_PAGE = 1000
_PAGE = 20


def entry(model_id: str) -> dict[str, Any]:
    """One model. Raises the API's 404 for an unknown name."""
    return _info(known_model({"model": model_id}), model_id)


def page(query: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """One page of models, newest first, by the query's `limit`, `after_id`, `before_id` and `lifecycle`."""
    lifecycle = query.get("lifecycle", query.get("lifecycle[]", _LISTED))
    found = [_info(model, model.id) for model in MODELS if model.lifecycle in lifecycle]
    ids = [info["id"] for info in found]
    start = _place(query, "after_id", ids, -1) + 1
    stop = _place(query, "before_id", ids, len(ids))
    limit = query.get("limit", [str(_PAGE)])[0]
    if not limit.isdecimal() or not 1 <= int(limit) <= _MAX_PAGE:
        raise Rejected(f"limit: Input should be between 1 and {_MAX_PAGE}")
    data = found[start:stop][: int(limit)]
    return {
        "data": data,
        "has_more": len(found[start:stop]) > len(data),
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
    }


def _place(query: Mapping[str, Sequence[str]], name: str, ids: Sequence[str], default: int) -> int:
    if name not in query:
        return default
    if query[name][0] not in ids:
        raise Rejected(f"{name}: no such model")
    return ids.index(query[name][0])


def _info(model: Model, model_id: str) -> dict[str, Any]:
    return {
        "type": "model",
        "id": model_id,
        "display_name": " ".join(["Claude", model.line.capitalize(), ".".join(model.id.split("-")[2:])]),
        "created_at": "1970-01-01T00:00:00Z",  # the API's value for an unknown date
        "lifecycle": model.lifecycle,
        "line": model.line,
        "deprecated_at": None,
        "retires_at": f"{model.retires}T00:00:00Z" if model.retires else None,
        "max_input_tokens": model.context,
        "max_tokens": model.max_output,
        "capabilities": _capabilities(model),
    }


def _capabilities(model: Model) -> dict[str, Any]:
    yes, no = {"supported": True}, {"supported": False}
    types = {each: {"supported": each in model.thinking} for each in _THINKING_TYPES}
    hosts = {"supported": "server_tools" in model.capabilities}
    efforts = {each: {"supported": each in model.effort} for each in EFFORTS}
    return {
        "batch": no,
        "citations": no,
        "code_execution": hosts,
        "context_management": {
            **yes,
            "clear_thinking_20251015": yes,
            "clear_tool_uses_20250919": yes,
            "compact_20260112": {"supported": compacts(model)},
        },
        "effort": {"supported": bool(model.effort), **efforts},
        "image_input": yes,
        "pdf_input": yes,
        "server_tools": {**hosts, "code_execution": hosts, "web_search": hosts},
        "structured_outputs": yes,
        "thinking": {"supported": True, "types": types},
    }
