"""The magic `%claude_models`: the table of models, from the API's list or from the shipped table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from IPython.core.magic import line_magic, magics_class

from .. import __version__, models
from ..errors import UsageError
from ..session.known_models import MAX_TOKENS, Listing, listings_from_api, newest
from .base import KernelMagics
from .line import read

if TYPE_CHECKING:
    from decimal import Decimal

    from ..render.text import Bundle


@magics_class
class ModelMagics(KernelMagics):
    """`%claude_models`."""

    @line_magic
    def claude_models(self, line: str) -> None:
        """List the models: context size, prices, thinking and effort, kinds of input, and when they retire.

        %claude_models [--all] [--tokens N]

        --all lists retired models as well; --tokens shows what a prompt of so many tokens costs on each, uncached.
        """
        given = read(line, "%claude_models [--all] [--tokens N]")
        retired, tokens = "--all" in given.flags, _asked_tokens(given.values.get("--tokens"))
        settings = self.kernel.settings()
        answer = self.kernel.session.client.models(settings, retired=retired)
        if answer and not retired:
            self.kernel.known_models.keep(settings, answer)
        default = newest(self.kernel.configuration.model, answer or ())
        table = models_table(answer, settings.provider, retired, default=default, tokens=tokens)
        self.shell.display_pub.publish(table, {})


def _asked_tokens(text: str | None) -> int | None:
    """The number after `--tokens`. Raises `UsageError` for anything else."""
    if text is None:
        return None
    digits = re.sub(r"(?<=\d)[_,](?=\d)", "", text)
    if not digits.isdecimal() or not 0 < int(digits[:12]) <= MAX_TOKENS:
        raise UsageError(f"--tokens wants a whole number of tokens, 1 or more, not {text!r}.")
    return int(digits[:12])


MAX_ROWS = 100
UNKNOWN = "n/a"
LINES = (*models.LINES, "mythos")
THINKING = {"adaptive": "adaptive", "between_tools": "between_tools", "disabled": "disabled", "enabled": "budget"}
TAKES = {"image_input": "images", "pdf_input": "PDF", "structured_outputs": "JSON", "server_tools": "tools"}
ALL_TAKE = "All{} take images and PDF, and know structured output (JSON) and server tools."
HEADS: tuple[str, ...] = (
    *("line", "model", "context", "max output"),
    *("input", "output", "cache read", "write 5m", "write 1h"),
    *("thinking", "effort", "state"),
)
# Titles above the heads, each with the number of columns that it spans.
GROUPS: tuple[tuple[str, int], ...] = (("", 2), ("tokens", 2), ("USD per million tokens", 5), ("", 3))


def models_table(
    answer: Sequence[Mapping[str, Any]] | None,
    provider: str,
    retired: bool = False,
    *,
    default: str = "",
    tokens: int | None = None,
) -> Bundle:
    """The table of models: those in the API's answer, or of the shipped table without an answer.

    `default` is the id that is marked; with `tokens`, a column has the cost of a prompt of that size.
    """
    from ..render import table

    listings, source = _listings(answer, retired, asked=provider != "offline")
    shown, count = listings[:MAX_ROWS], len(listings)
    prices = [_prices(listing, provider) for listing in shown]
    rows = [_row(*each) for each in zip(shown, _labels(shown), prices, strict=True)]
    notes = [note for each in zip(shown, prices, strict=True) for note in _notes(*each)]
    heads, groups = HEADS, GROUPS
    rows = [[*row[:-1], _marked(row[-1], listing, default)] for row, listing in zip(rows, shown, strict=True)]
    if all(_takes_all(listing) for listing in shown):
        notes.append(ALL_TAKE.format(" but the retired ones" if retired else ""))
    else:  # a column for what differs
        rows = [[*row, _takes(listing)] for row, listing in zip(rows, shown, strict=True)]
        heads, groups = (*HEADS, "takes"), (*GROUPS, ("", 1))
    if tokens is not None:
        rows = [
            [*row, _prompt_cost(*each, tokens)] for row, each in zip(rows, zip(shown, prices, strict=True), strict=True)
        ]
        heads, groups = (*heads, f"{tokens:,} tokens"), (*groups, ("USD, uncached", 1))
    if count > MAX_ROWS:
        notes.append(f"These are {MAX_ROWS} of {count:,}.")
    caption = " ".join([f"Models, from {source}.", "Prices are in USD per million tokens.", *notes])
    return table.table_output(caption, heads, rows, groups)


def _labels(listings: Sequence[Listing]) -> list[str]:
    """The name of each line of models, in its first row only."""
    lines = [listing.line or "" for listing in listings]
    return [line if line != before else "" for before, line in zip(["", *lines], lines, strict=False)]


def _listings(answer: Sequence[Mapping[str, Any]] | None, retired: bool, *, asked: bool) -> tuple[list[Listing], str]:
    """The models, by line and the newest first, and a phrase for their source."""
    shipped = f"the table shipped with claude_magic {__version__}"
    if answer is None:
        return _in_order(listings_from_table(retired)), f"{shipped} (the API gave no list)" if asked else shipped
    received = [listings_from_api(entry) for entry in answer]
    found = [completed(listing) for listing in received]
    source = "the API" if found == received else f"the API; what it does not say, from {shipped}"
    return _in_order(each for each in found if retired or each.lifecycle != "retired"), source


def _in_order(listings: Iterable[Listing]) -> list[Listing]:
    def place(listing: Listing) -> tuple[bool, int, str]:
        line = listing.line or ""
        return listing.lifecycle == "retired", LINES.index(line) if line in LINES else len(LINES), line

    return sorted(listings, key=place)


def listings_from_table(retired: bool) -> list[Listing]:
    """The models of the shipped table; retired ones have only their date."""
    gone = [Listing(name, _line(name), lifecycle="retired", retires=day) for name, day in models.RETIRED.items()]
    return [*(_shipped(row) for row in models.MODELS), *(gone if retired else ())]


def _line(name: str) -> str | None:
    return next((line for line in LINES if line in name.split("-")), None)


def _shipped(row: models.Model) -> Listing:
    return Listing(
        row.id,
        row.line,
        row.context,
        row.max_output,
        row.thinking,
        row.effort,
        {name: name in row.capabilities for name in models.CAPABILITIES},
        row.lifecycle,
        row.retires,
    )


def completed(listing: Listing) -> Listing:
    """The listing, with unknown fields from the shipped table: gateways give little more than names."""
    row = models.known(listing.id)
    if row is None:
        return listing
    shipped = _shipped(row)
    names = ("line", "context", "max_output", "thinking", "effort")
    missing = {name: getattr(shipped, name) for name in names if getattr(listing, name) is None}
    if listing.lifecycle is None:
        missing |= {"lifecycle": shipped.lifecycle, "retires": shipped.retires}
    return replace(listing, **missing, capabilities={**shipped.capabilities, **listing.capabilities})


def _prices(listing: Listing, provider: str) -> dict[int, dict[str, Decimal]]:
    """Today's list prices, by the prompt size in tokens above which they hold, within the model's context."""
    from ..cost import pricing

    prices = pricing.list_prices(listing.id, provider)
    return {above: each for above, each in prices.items() if above < (listing.context or MAX_TOKENS)}


def _row(listing: Listing, label: str, prices: Mapping[int, Mapping[str, Decimal]]) -> list[str]:
    from ..cost.pricing import TOKEN_PRICES

    return [
        label,
        listing.id,
        _size(listing.context),
        _size(listing.max_output),
        *(_range([each[kind] for each in prices.values()]) for kind in TOKEN_PRICES),
        _list(None if listing.thinking is None else [THINKING.get(each, each) for each in listing.thinking]),
        _list(None if listing.effort is None else _runs(listing.effort)),
        _state(listing),
    ]


def _takes(listing: Listing) -> str:
    return _list([word for name, word in TAKES.items() if listing.capabilities.get(name)] or None)


def _takes_all(listing: Listing) -> bool:
    """Whether a model takes all kinds of input; true for a retired one, where it no longer matters."""
    return listing.lifecycle == "retired" or all(listing.capabilities.get(name) for name in TAKES)


def _notes(listing: Listing, prices: Mapping[int, Mapping[str, Decimal]]) -> list[str]:
    """Notes that explain a range of prices."""
    return [
        f"{listing.id}: the higher prices are for prompts of more than {above:,} tokens." for above in prices if above
    ]


def _size(tokens: int | None) -> str:
    """A number of tokens, round ones in short: 1M, 128k."""
    if tokens is None:
        return UNKNOWN
    for unit, sign in ((1_000_000, "M"), (1_000, "k")):
        if tokens % unit == 0:
            return f"{tokens // unit:,}{sign}"
    return f"{tokens:,}"


def _range(prices: Sequence[Decimal]) -> str:
    if not prices:
        return UNKNOWN
    return "–".join(dict.fromkeys(_amount(price) for price in (prices[0], prices[-1])))


def _amount(price: Decimal) -> str:
    """A price in its shortest form: 4, 0.20, 6.25, 0.125."""
    whole, _, cents = f"{price.normalize():f}".partition(".")
    return f"{whole}.{cents:0<2}" if cents else whole


def _list(words: Iterable[str] | None) -> str:
    return UNKNOWN if words is None else ", ".join(words) or "–"


def _runs(efforts: Sequence[str]) -> list[str]:
    """Efforts with each run of more than two shortened: low–max; or low–high, max."""
    runs: list[list[str]] = []
    for effort in efforts:
        follows = runs and effort in models.EFFORTS and models.EFFORTS.index(effort) > 0
        if follows and models.EFFORTS[models.EFFORTS.index(effort) - 1] == runs[-1][-1]:
            runs[-1].append(effort)
        else:
            runs.append([effort])
    return [part for run in runs for part in ([f"{run[0]}–{run[-1]}"] if len(run) > 2 else run)]


def _state(listing: Listing) -> str:
    if listing.retires is None or listing.lifecycle == "active":
        return listing.lifecycle or UNKNOWN
    return f"retired {listing.retires}" if listing.lifecycle == "retired" else f"deprecated, retires {listing.retires}"


def _marked(state: str, listing: Listing, default: str) -> str:
    """The state of a model, with a mark if it is the default."""
    is_default = bool(default) and listing.id in (default, models.resolve(default))
    return f"{state}, default" if is_default else state


def _prompt_cost(listing: Listing, prices: Mapping[int, Mapping[str, Decimal]], tokens: int) -> str:
    """What a prompt of so many tokens costs as uncached input; a dash if the model does not take as many."""
    from ..cost.pricing import dollars

    if listing.context is not None and tokens > listing.context:
        return "–"
    fitting = [each for above, each in prices.items() if above < tokens and each.get("input") is not None]
    if not fitting:
        return UNKNOWN
    return dollars(fitting[-1]["input"] * tokens / 1_000_000)
