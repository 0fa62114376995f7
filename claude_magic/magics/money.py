"""What was spent, looked at: `%claude_cost`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from IPython.core.magic import Magics, line_magic, magics_class

from .. import options
from ..errors import UsageError

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .asking import ClaudeMagic


@magics_class
class MoneyMagics(Magics):
    """`%claude_cost`."""

    shell: InteractiveShell

    def __init__(self, asking: ClaudeMagic) -> None:
        super().__init__(shell=asking.shell)
        self._asking = asking

    @line_magic
    def claude_cost(self, line: str) -> None:
        """Tokens and dollars: of each cell of the notebook, of what else this session asked, of each model, in total;
        what caching saved; and a chart of it.

        %claude_cost [--out NAME] [--chart | --no-chart]

        --out binds the ledger to a name, a row a call: a DataFrame of pandas, else of polars, else a list of dicts.
        A terminal shows the chart only with --chart, in characters.
        """
        name, charted = _asked(line)
        from .. import chart, ledger, spending

        session = self._asking.session
        entries = ledger.entries(session.chats.turns, session.spent_elsewhere())
        self.shell.display_pub.publish(spending.session_table(entries), {})
        title, bars = spending.session_bars(entries)
        # A terminal has no kernel, and shows no pictures.
        if bars and (hasattr(self.shell, "kernel") if charted is None else charted):
            self.shell.display_pub.publish(*chart.bundle(title, bars))
        if name is not None:
            self.shell.user_ns[name], kind = ledger.frame([ledger.row(each) for each in entries])
            print(f"{name} is {kind}, a row a call: {len(entries):,}.")


def _asked(line: str) -> tuple[str | None, bool | None]:
    """The name after `--out`, and whether a chart is wanted, where the line says so. Raises `UsageError`."""
    name, charted = None, None
    words = iter(options.words(line))
    for word in words:
        if word in ("--chart", "--no-chart"):
            charted = word == "--chart"
        elif word == "--out":
            name = _variable(next(words, ""))
        else:
            raise UsageError(
                f"%claude_cost does not take {word}.", advice="Write %claude_cost [--out NAME] [--chart | --no-chart]."
            )
    return name, charted


def _variable(name: str) -> str:
    """A name that `--out` of a cell takes, too. Raises `UsageError`."""
    parse = next(each.metadata["parse"] for each in options.FIELDS if each.name == "out")
    try:
        return str(parse(name))
    except ValueError as error:
        wanted = str(error)
    raise UsageError(f"--out wants {wanted}, not {name!r}.")
