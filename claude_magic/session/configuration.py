"""Configuration: the traits that `%config ClaudeMagic` lists and sets. The class's name is part of that command."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from traitlets import Any as AnyValue
from traitlets import Bool, Dict, Enum, Float, Integer, List, TraitError, TraitType, Unicode, validate
from traitlets.config import Config, Configurable

from .. import options
from ..options import REPLAY, Options
from ..providers import PROVIDERS

MAX_RETRY_SETTING = 20


class _Default(TraitType[Any, Any]):
    """A trait for the default of one option, which accepts the same values as the option."""

    def __init__(self, option_field: dataclasses.Field[Any]) -> None:
        super().__init__(
            option_field.default, help=option_field.metadata["help"], allow_none=option_field.default is None
        )
        self._parse = option_field.metadata["parse"]
        self.tag(config=True)

    def validate(self, obj: Any, value: Any) -> Any:
        if value is None and self.allow_none:
            return None
        if not isinstance(value, str | int | float) or isinstance(value, bool) or value == "":
            raise TraitError(f"{self.name} cannot be {value!r}.")
        try:
            return self._parse(str(value))
        except ValueError as error:
            wanted = str(error)
        raise TraitError(f"{self.name} wants {wanted}, not {value!r}.")


def _default(option_field: dataclasses.Field[Any]) -> TraitType[Any, Any]:
    """The trait of an option's default: of a switch, whether it is on."""
    if option_field.metadata["metavar"]:
        return _Default(option_field)
    return Bool(bool(option_field.default), help=option_field.metadata["help"]).tag(config=True)


OptionDefaults: Any = type(
    "OptionDefaults",
    (Configurable,),
    {each.name: _default(each) for each in options.FIELDS if each.metadata["setting"]},
)


class ClaudeMagic(OptionDefaults):  # type: ignore[misc]  # the defaults of the options are read off `Options`
    """The defaults of the options of cells, and settings that are no option of a cell."""

    provider = Enum(
        tuple(PROVIDERS),
        "anthropic",
        help="who answers: anthropic, a cloud, or offline (the stand-in, which needs no key)",
    ).tag(config=True)
    base_url = Unicode("", help="the address of a gateway, instead of the provider's own").tag(config=True)
    client = AnyValue(None, help="any client object of the SDK, to be used as it is").tag(config=True)
    headers = Dict(help="headers that go with each request, none of them a credential").tag(config=True)
    betas: Any = List(help="values for the anthropic-beta header").tag(config=True)
    mcp_tokens = Dict(help="host of an MCP server → NAME of the environment variable that holds its token").tag(
        config=True
    )
    mcp_servers = Dict(
        help="name of an MCP server → its address, the command that starts it here, or a dict with command, args, env "
        "and cwd; --mcp takes the name"
    ).tag(config=True)
    extra_body = Dict(help="parameters of the API that claude_magic does not know").tag(config=True)
    max_retries = Integer(
        4, min=0, max=MAX_RETRY_SETTING, help="retries of a request that failed for a passing reason"
    ).tag(config=True)
    max_retry_wait = Float(60.0, min=0.0, help="longest wait between two attempts, in seconds").tag(config=True)
    timeout = Float(120.0, min=0.1, help="seconds without a sign of life after which a reply counts as stalled").tag(
        config=True
    )

    panel = Bool(True, help="a live panel with Stop and thinking above the growing reply, in a browser").tag(
        config=True
    )

    budget = Float(None, min=0.0, allow_none=True, help="limit for what this kernel spends, in dollars").tag(
        config=True
    )
    warn_above = Float(
        1.0, min=0.0, allow_none=True, help="warn once of a cell that costs more than this, in dollars; None: never"
    ).tag(config=True)
    approve = AnyValue(
        "ask",
        help="whether tools may run: ask (those that only read run unasked), always, never; or {name: one of these}",
    ).tag(config=True)
    notebook_path = Unicode("", help="this notebook's file, if the frontend does not tell it").tag(config=True)
    replay = Enum(
        REPLAY,
        "off",
        help="answer from the notebook's record: off, auto (if the request is the same, else ask Claude), only",
    ).tag(config=True)
    replay_speed = Float(1.0, min=0.0, help="how many times faster than recorded a replay runs; 0: at once").tag(
        config=True
    )
    greeting = Bool(True, help="say in one line, at %load_ext, which model answers and whether a key is found").tag(
        config=True
    )
    journal = Bool(True, help="keep replies in Jupyter's data folder for %claude_recover, for a month at most").tag(
        config=True
    )

    preload = Bool(True, help="import what the first question needs while the kernel is idle").tag(config=True)

    @validate("headers", "betas", "mcp_tokens")
    def _texts(self, proposal: Any) -> Any:
        """Accept only text; whether a header can be sent is checked when a request is sent."""
        given = proposal["value"]
        parts = [*given, *given.values()] if isinstance(given, dict) else given
        if not all(isinstance(each, str) for each in parts):
            raise TraitError(f"{proposal['trait'].name} holds text, and nothing else.")
        return given

    @validate("base_url")
    def _address(self, proposal: Any) -> Any:
        from ..client import connection
        from ..errors import UsageError

        try:
            if proposal["value"].strip():
                connection.checked_address("base_url", proposal["value"])
            return proposal["value"]
        except UsageError as error:
            wrong = f"{error} {error.advice}"
        raise TraitError(wrong)

    @validate("approve")
    def _approval(self, proposal: Any) -> Any:
        from ..tools import approval

        if wrong := approval.wrong(proposal["value"]):
            raise TraitError(wrong)
        return proposal["value"]

    @validate("mcp_servers")
    def _servers(self, proposal: Any) -> Any:
        from ..tools import mcp_servers

        if wrong := mcp_servers.wrong(proposal["value"]):
            raise TraitError(wrong)
        return mcp_servers.hidden(proposal["value"])

    @validate("extra_body")
    def _unknown(self, proposal: Any) -> Any:
        """Accept only parameters that have no option of their own."""
        known = {"model", "max_tokens", "messages", "stream", "system"} & proposal["value"].keys()
        if known:
            raise TraitError(f"extra_body does not take {', '.join(sorted(known))}: there are options for them.")
        return proposal["value"]

    @validate("max_retry_wait", "timeout", "replay_speed", "budget", "warn_above")
    def _finite(self, proposal: Any) -> float | None:
        if proposal["value"] is None:
            return None
        if not math.isfinite(proposal["value"]):
            raise TraitError(f"{proposal['trait'].name} is a finite number, not {proposal['value']}.")
        return float(proposal["value"])

    def update_config(self, config: Config) -> None:
        """Apply what `%config` sets. The client is set as it is: traitlets copies all values, and a client has locks
        and sockets, which cannot be copied."""
        sections = [config[name] for name in self.section_names() if name in config]
        given = [section.pop("client") for section in sections if "client" in section]
        super().update_config(config)
        for client in given:
            self.client = client

    def defaults(self) -> Options:
        """The options of a cell whose line has none."""
        settings = {each.name: getattr(self, each.name) for each in options.FIELDS if each.metadata["setting"]}
        return Options(**settings)
