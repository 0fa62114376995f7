"""Rules for the parameters of a request besides its conversation, with the API's error messages.

Source: the SDK's `message_create_params.py`, CLAUDE_API.md, and public reports that quote the API's errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ...models import Model, known
from ..faults import Rejected
from ..request.history import Body, absent
from ..request.tokens import version
from . import betas

MIN_BUDGET_TOKENS = 1024
MAX_USER_ID_CHARACTERS = 256
# Models that take `speed: "fast"`; those of the second tuple need the beta header (the fast mode page).
FAST_MODELS = ("claude-fable-5-2", "claude-mythos-5-2", "claude-opus-5-5")
FAST_IN_BETA = ("claude-opus-5", "claude-opus-4-8")
INFERENCE_GEOS = ("global", "us")
_CHOSEN: Mapping[str, tuple[str, ...]] = {
    "service_tier": ("auto", "standard_only"),
    "speed": ("standard", "fast"),
    "inference_geo": INFERENCE_GEOS,
}
_COUNTED = {
    *("messages", "model", "cache_control", "output_config", "speed", "system", "thinking", "tool_choice"),
    *("tools", "user_profile_id", "workspace_id"),
}
_CREATED = _COUNTED | {
    *("max_tokens", "container", "diagnostics", "inference_geo", "metadata", "service_tier"),
    *("stop_sequences", "stream"),
}
# Beta parameters that `count_tokens` takes as well (CLAUDE_API.md §7).
_COUNTED_IN_BETA = ("billing_policy", "compaction", "context_management", "mcp_servers", "output_format")
_SAMPLING = ("temperature", "top_p", "top_k")
_THINKING_KEYS = {
    "adaptive": {"type", "display"},
    "enabled": {"type", "display", "budget_tokens"},
    "between_tools": {"type"},
    "disabled": {"type"},
}


def check_names(body: Body, given: frozenset[str], *, counting: bool) -> None:
    """Refuse unknown parameters, beta parameters without their header, and requests without required parameters."""
    for name in _SAMPLING:
        if name in body:
            raise Rejected(f"`{name}` is deprecated for this model.")
    for name in body:
        in_beta = betas.allows(name, given) and (not counting or name in _COUNTED_IN_BETA)
        if name not in (_COUNTED if counting else _CREATED) and not in_beta:
            raise Rejected(f"{name}: Extra inputs are not permitted")
    for name in ("model", "messages"):
        if name not in body:
            raise Rejected(f"{name}: Field required")


def known_model(body: Body) -> Model:
    """The model's row. Raises the API's 404 for an unknown model."""
    name = body["model"]
    if not isinstance(name, str):
        raise Rejected("model: Input should be a valid string")
    # Only ids as the API spells them: other providers' spellings, and `-latest`, do not work there.
    own = re.fullmatch(r"claude-[a-z]+-\d+(-\d{1,2})?(-\d{8})?", name)
    if not own or not (model := known(name)):
        raise Rejected(f"model: {name}", status=404)
    return model


def check_max_tokens(body: Body, model: Model) -> None:
    if "max_tokens" not in body:
        raise Rejected("max_tokens: Field required")
    limit = body["max_tokens"]
    if not isinstance(limit, int) or isinstance(limit, bool):
        raise Rejected("max_tokens: Input should be a valid integer")
    if limit < 0:
        raise Rejected("max_tokens: Input should be greater than or equal to 0")
    if limit > model.max_output:
        raise Rejected(
            f"max_tokens: {limit} > {model.max_output}, which is the maximum allowed number of output tokens "
            f"for {body['model']}"
        )


def _stop_sequences(body: Body, model: Model) -> None:
    sequences = body.get("stop_sequences", [])
    if not isinstance(sequences, list):
        raise Rejected("stop_sequences: Input should be a valid list")
    for i, sequence in enumerate(sequences):
        if not isinstance(sequence, str):
            raise Rejected(f"stop_sequences.{i}: Input should be a valid string")
        if not sequence.strip():
            raise Rejected("stop_sequences: each stop sequence must contain non-whitespace")


def check_thinking(body: Body, model: Model) -> None:
    if "thinking" not in body:
        return
    config = body["thinking"]
    kind = config.get("type") if isinstance(config, dict) else None
    if not isinstance(kind, str) or kind not in _THINKING_KEYS:
        tags = ", ".join(f"'{each}'" for each in _THINKING_KEYS)
        raise Rejected(
            f"thinking: Input tag '{kind}' found using 'type' does not match any of the expected tags: {tags}"
        )
    for name in config.keys() - _THINKING_KEYS[kind]:
        raise Rejected(f"thinking.{kind}.{name}: Extra inputs are not permitted")
    if kind not in model.thinking:
        hint = ' Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.'
        raise Rejected(f'"thinking.type.{kind}" is not supported for this model.{hint if kind == "enabled" else ""}')
    if config.get("display") not in (None, "summarized", "omitted"):
        raise Rejected(f"thinking.{kind}.display: Input should be 'summarized' or 'omitted'")
    if kind == "enabled":
        _budget(config, body)


def _budget(config: Body, body: Body) -> None:
    budget = config.get("budget_tokens")
    if not isinstance(budget, int) or isinstance(budget, bool):
        raise Rejected(
            "thinking.enabled.budget_tokens: "
            + ("Field required" if budget is None else "Input should be a valid integer")
        )
    if budget < MIN_BUDGET_TOKENS:
        raise Rejected("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
    if budget >= body.get("max_tokens", budget + 1):
        raise Rejected("`max_tokens` must be greater than `thinking.budget_tokens`.")


def check_effort(body: Body, model: Model) -> None:
    config = body.get("output_config", {})
    if not isinstance(config, dict):
        raise Rejected("output_config: Input should be an object")
    effort = config.get("effort")
    if effort is None:
        return
    if not model.effort:
        raise Rejected("This model does not support the effort parameter.")
    if effort not in model.effort:
        allowed = ", ".join(f"'{each}'" for each in model.effort)
        raise Rejected(f"output_config.effort: '{effort}' is not supported by this model. Supported levels: {allowed}")
    kind = body.get("thinking", {}).get("type", "adaptive")
    if effort not in model.efforts_with(kind):
        raise Rejected(f"output_config.effort: '{effort}' is not supported with `thinking.type` '{kind}' on this model")


_UNKNOWN_KEYWORDS = {
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern"),
    *("maxItems", "uniqueItems", "prefixItems", "patternProperties", "oneOf", "not", "if", "then", "else", "default"),
}


def _format(body: Body, model: Model) -> None:
    """Structured output: the format, and the JSON schema keywords that the API supports.

    Source: the structured outputs page, and the SDK's `lib/_parse/_transform.py`.
    """
    config = (body.get("output_config") or {}).get("format")
    if config is None:
        return
    if "structured_outputs" not in model.capabilities:
        raise Rejected("output_config.format: structured outputs are not supported on this model.")
    if not isinstance(config, dict) or config.get("type") != "json_schema":
        raise Rejected("output_config.format.type: Input should be 'json_schema'")
    for name in config.keys() - {"type", "schema"}:
        raise Rejected(f"output_config.format.{name}: Extra inputs are not permitted")
    if not isinstance(config.get("schema"), dict):
        raise Rejected("output_config.format.schema: Input should be a valid dictionary")
    _schema(config["schema"], "output_config.format.schema", config["schema"], ())


def _schema(schema: Any, path: str, root: Body, above: tuple[str, ...]) -> None:
    if not isinstance(schema, dict):
        raise Rejected(f"{path}: Input should be a valid dictionary")
    for name in sorted(schema.keys() & _UNKNOWN_KEYWORDS):
        raise Rejected(f"{path}: For '{schema.get('type')}' type, property '{name}' is not supported")
    if isinstance(reference := schema.get("$ref"), str):
        name = reference.removeprefix("#/$defs/")
        if name in above:
            raise Rejected(f"{path}: Recursive schemas are not supported.")
        if name not in root.get("$defs", {}):
            raise Rejected(f"{path}: cannot resolve '{reference}'")
        _schema(root["$defs"][name], f"{path}.{name}", root, (*above, name))
        return
    if not schema.keys() & {"type", "anyOf", "allOf", "enum", "const"}:
        raise Rejected(f"{path}: Schema type is missing")
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        raise Rejected(f"{path}: For 'object' type, 'additionalProperties' must be explicitly set to false")
    if schema.get("type") == "array" and schema.get("minItems", 0) not in (0, 1):
        raise Rejected(f"{path}: For 'array' type, 'minItems' values other than 0 or 1 are not supported")
    inner = {**schema.get("properties", {}), **({"items": schema["items"]} if "items" in schema else {})}
    inner |= {f"anyOf.{at}": each for at, each in enumerate([*schema.get("anyOf", ()), *schema.get("allOf", ())])}
    for name, each in inner.items():
        _schema(each, f"{path}.{name}", root, above)


def _metadata(body: Body, model: Model) -> None:
    if "metadata" not in body:
        return
    metadata = body["metadata"]
    if not isinstance(metadata, dict):
        raise Rejected("metadata: Input should be an object")
    for name in metadata.keys() - {"user_id"}:
        raise Rejected(f"metadata.{name}: Extra inputs are not permitted")
    user = metadata.get("user_id")
    if user is None:
        return
    if not isinstance(user, str):
        raise Rejected("metadata.user_id: Input should be a valid string")
    if len(user) > MAX_USER_ID_CHARACTERS:
        raise Rejected(f"metadata.user_id: String should have at most {MAX_USER_ID_CHARACTERS} characters")
    if re.search(r"[^@\s]+@[^@\s]+\.\w", user):
        raise Rejected("metadata.user_id: user_id appears to contain an email address")


def _choices(body: Body, model: Model) -> None:
    for name, choices in _CHOSEN.items():
        if name in body and not (absent(body, name) and name != "service_tier") and body[name] not in choices:
            allowed = " or ".join(f"'{each}'" for each in choices)
            raise Rejected(f"{name}: Input should be {allowed}")
    # Data residency: models from 4.6 on (CLAUDE_API.md §8).
    if not absent(body, "inference_geo") and version(model) < (4, 6):
        raise Rejected("inference_geo is not supported for this model.")


def check_speed(body: Body, model: Model, given: frozenset[str]) -> None:
    """Refuse `fast` on models without it, and any speed without the beta header where it is in beta (SDK 2.12)."""
    if absent(body, "speed"):
        return
    if model.id in FAST_IN_BETA:
        betas.require(betas.FAST, given, "speed")
    elif body["speed"] == "fast" and model.id not in FAST_MODELS:
        raise Rejected("speed: 'fast' is not supported for this model.")


def _diagnostics(body: Body, model: Model) -> None:
    if absent(body, "diagnostics"):
        return
    wanted = body["diagnostics"]
    if not isinstance(wanted, dict):
        raise Rejected("diagnostics: Input should be an object")
    for name in wanted.keys() - {"previous_message_id"}:
        raise Rejected(f"diagnostics.{name}: Extra inputs are not permitted")
    if not isinstance(wanted.get("previous_message_id"), str | None):
        raise Rejected("diagnostics.previous_message_id: Input should be a valid string")


def _stream(body: Body, model: Model) -> None:
    if not isinstance(body.get("stream", False), bool):
        raise Rejected("stream: Input should be a valid boolean")


# Rules for messages only: `count_tokens` does not take the parameters that they check.
CREATING: tuple[Callable[[Body, Model], None], ...] = (
    check_max_tokens,
    _stop_sequences,
    _stream,
    _metadata,
    _diagnostics,
)
ALWAYS: tuple[Callable[[Body, Model], None], ...] = (check_thinking, check_effort, _format, _choices)
