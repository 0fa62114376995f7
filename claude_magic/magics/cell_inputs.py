"""The inputs of a cell besides its prompt: attached files and cells, the last error, tools, the reply's schema."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..notebook.cell import Cell
from ..options import Options

if TYPE_CHECKING:
    from ..content.parts import Piece
    from ..content.secrets import Secrets
    from ..render.live.live import ApprovingView
    from ..session.kernel import Kernel
    from ..tools.calls import ToolCalls
    from ..tools.structured_output import Shape


def pieces(kernel: Kernel, wanted: Options, running: Cell, secrets: Secrets) -> list[Piece]:
    """The pieces attached by the options of a cell. Raises `UsageError` if one cannot be found or sent."""
    return [*_attached(kernel, wanted), *_context(kernel, wanted, running, secrets)]


def _attached(kernel: Kernel, wanted: Options) -> Sequence[Piece]:
    """The pieces for `--image` and `--file`."""
    if not (wanted.image or wanted.file or wanted.file_title or wanted.file_context or wanted.by_url):
        return ()
    from ..prompt import attachments

    return attachments.pieces(wanted, kernel.namespace)


def tool_calls(kernel: Kernel, wanted: Options, view: ApprovingView, secrets: Secrets) -> ToolCalls | None:
    """The tools of a cell's `--tools`; `secrets` are masked in their results. Raises `UsageError` for unknown tools."""
    if wanted.tools is None:
        return None
    from ..tools import approval
    from ..tools.built_in import built_in_tools
    from ..tools.calls import ToolCalls
    from ..tools.functions import named, strict

    path = kernel.session.path
    built_in = built_in_tools(kernel.shell, path.parent if path is not None else Path.cwd())
    found = named(wanted.tools, kernel.namespace, built_in)
    if wanted.strict_tools:
        found = tuple(map(strict, found))
    return ToolCalls(
        found,
        approval.approval(kernel.configuration.approve, view.approve),
        wanted.max_tool_calls,
        lambda: approval.check(kernel.configuration.approve, found, can_ask=view.can_approve),
        secrets,
    )


def shape(kernel: Kernel, wanted: Options) -> Shape | None:
    """The type of the reply for `--schema`; None without one."""
    if not wanted.schema:
        return None
    from ..tools import structured_output

    return structured_output.shape_of(wanted.schema, kernel.namespace)


def _context(kernel: Kernel, wanted: Options, running: Cell, secrets: Secrets) -> list[Piece]:
    """The pieces for `--cells`, `--context` and `--error`; imports are done only if one of them is given."""
    if not (wanted.cells or wanted.error or wanted.context != "none"):
        return []
    from ..prompt.notebook_cells import Surroundings

    session = kernel.session
    around = Surroundings(kernel.executions, session.path, secrets, wanted.context_tokens, running.id)
    pieces = around.cells(wanted.cells) if wanted.cells else []
    if wanted.context != "none":
        turns = session.history(wanted, running).turns if wanted.context == "new" else ()
        named = {piece.name for piece in pieces}
        pieces += [each for each in around.code(turns[-1].created if turns else None) if each.name not in named]
    return [*pieces, around.error()] if wanted.error else pieces
