"""The magics `%claude_cost` (tokens and dollars spent) and `%claude_warm` (fill the prompt cache)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from IPython.core.magic import line_magic, magics_class

from .. import options
from ..errors import UsageError
from ..options import Options
from .base import KernelMagics
from .line import read, refusal

_WARM = "%claude_warm [options] [CHAT]"


@magics_class
class CostMagics(KernelMagics):
    """`%claude_cost` and `%claude_warm`."""

    @line_magic
    def claude_cost(self, line: str) -> None:
        """Show tokens and dollars per cell, per model and in total, with other requests of this session, what caching
        saved, and a chart.

        %claude_cost [--out NAME] [--chart | --no-chart]

        --out binds the ledger to a name, one row per request: a pandas DataFrame, else a polars one, else a list of
        dicts. A terminal shows the chart only with --chart, in characters.
        """
        name, charted = _cost_options(line)
        from ..cost import ledger
        from ..render import cost_chart, cost_report

        session = self.kernel.session
        entries = ledger.entries(session.chats.turns, session.spent_elsewhere())
        self.shell.display_pub.publish(cost_report.session_table(entries, session.budget, session.recorded_maps()), {})
        title, bars = cost_report.session_bars(entries)
        # A terminal has no kernel, and shows no HTML.
        if bars and (hasattr(self.shell, "kernel") if charted is None else charted):
            self.shell.display_pub.publish(cost_chart.bundle(title, bars), {})
        if name is not None:
            self.shell.user_ns[name], kind = ledger.frame([ledger.row(each) for each in entries])
            print(f"{name} is {kind}, a row a call: {len(entries):,}.")

    @line_magic
    def claude_warm(self, line: str) -> None:
        """Fill the API's cache with what the next question will begin with (system prompt, pins, conversation), so
        that it is answered sooner and reads at a fraction of the price. No question is asked.

        %claude_warm [options] [CHAT]

        Give the options that the question will have: a question with another model, effort or thinking setting
        cannot use this cache.
        """
        from ..conversation import record
        from ..cost import pricing
        from ..session import cache_warming

        kernel = self.kernel
        wanted, words = options.parse(line, dataclasses.replace(kernel.configuration.defaults(), once=False))
        wanted = kernel.resolve(_warm_options(wanted, options.words(words)))
        session, cell, settings = kernel.session, kernel.cell, kernel.settings()
        if wanted.show_request:
            print(cache_warming.request(session, wanted, cell, settings.provider).as_json())
            return
        if kernel.configuration.replay == "only":
            print("This kernel replays, and asks nothing: there is no cache to fill.")
            return
        warmed = cache_warming.warm(session, wanted, cell, settings)
        metadata = record.metadata(warmed.turn, costs=pricing.exact_costs([warmed.turn]))
        self.shell.display_pub.publish({"text/plain": cache_warming.line(warmed)}, metadata)


def _warm_options(wanted: Options, chats: Sequence[str]) -> Options:
    """The options with the chat that the line names. Raises `UsageError` for options that do not fit a cache."""
    for name in ("once", "count", "show_code", "out"):
        if getattr(wanted, name):
            raise refusal(_WARM, f"--{name.replace('_', '-')}")
    if "," in wanted.model:
        raise UsageError("%claude_warm fills the cache of one model.", advice="Name one with --model, for each.")
    if len(chats) > 1:
        raise refusal(_WARM, chats[1])
    return dataclasses.replace(wanted, chat=chats[0]) if chats else wanted


def _cost_options(line: str) -> tuple[str | None, bool | None]:
    """The name after `--out`, and whether a chart is wanted (None: not said). Raises `UsageError`."""
    typed = read(line, "%claude_cost [--out NAME] [--chart | --no-chart]")
    charts = [flag == "--chart" for flag in typed.flags if flag != "--out"]
    name = typed.values.get("--out")
    return name if name is None else _variable(name), charts[-1] if charts else None


def _variable(name: str) -> str:
    """The name, checked like `--out` of a cell. Raises `UsageError` if it is not a valid name."""
    parse = next(each.metadata["parse"] for each in options.FIELDS if each.name == "out")
    try:
        return str(parse(name))
    except ValueError as error:
        wanted = str(error)
    raise UsageError(f"--out wants {wanted}, not {name!r}.")
