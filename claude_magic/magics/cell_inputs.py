"""The inputs of a question besides its prompt: attached files and cells, the last error, tools, the reply's schema.

`names` are the names that a question's expressions see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..notebook.cell import Cell
from ..options import Options

if TYPE_CHECKING:
    from ..content.parts import Piece
    from ..content.secrets import Secrets
    from ..render.live.live import ApprovingView
    from ..session.kernel import Kernel
    from ..session.question import Question
    from ..tools.calls import ToolCalls
    from ..tools.functions import Tool
    from ..tools.structured_output import Shape


def pieces(kernel: Kernel, wanted: Options, running: Cell, secrets: Secrets, names: Mapping[str, Any]) -> list[Piece]:
    """The pieces attached by the options of a cell. Raises `UsageError` if one cannot be found or sent."""
    return [*_attached(wanted, names), *_context(kernel, wanted, running, secrets)]


def _attached(wanted: Options, names: Mapping[str, Any]) -> Sequence[Piece]:
    """The pieces for `--image` and `--file`."""
    if not (wanted.image or wanted.file or wanted.file_title or wanted.file_context or wanted.by_url):
        return ()
    from ..prompt import attachments

    return attachments.pieces(wanted, names)


def tool_calls(
    kernel: Kernel, question: Question, view: ApprovingView, secrets: Secrets, names: Mapping[str, Any]
) -> ToolCalls | None:
    """The tools of a cell's `--tools`, and those of the local servers of its `--mcp`, which are started.

    `secrets` are masked in their results. Raises `UsageError` for unknown tools, and for servers that do not start.
    """
    wanted = question.options
    if wanted.tools is None and not wanted.mcp:
        return None
    from ..tools import approval, mcp_servers
    from ..tools.calls import ToolCalls
    from ..tools.functions import strict

    launches = mcp_servers.launches(wanted.mcp, kernel.configuration.mcp_servers)
    if wanted.tools is None and not launches:
        return None
    functions = _functions(kernel, wanted.tools, names)
    taken = [tool.name for tool in functions]
    if launches and question.replay.mode == "only" and not is_unsent(wanted):
        recorded = kernel.session_for(question.cell).recorded_tools(question, kernel.configuration.provider)
        local = mcp_servers.recorded(recorded, taken)
    else:
        local = kernel.mcp_servers.offered(launches, taken)
    found = (*functions, *local.tools)
    if wanted.strict_tools:
        found = tuple(map(strict, found))
    masked = (secret for launch in launches for secret in launch.secrets)
    return ToolCalls(
        found,
        approval.approval(kernel.configuration.approve, view.approve),
        wanted.max_tool_calls,
        lambda: approval.check(kernel.configuration.approve, found, can_ask=view.can_approve),
        replace(secrets, known=tuple(dict.fromkeys((*secrets.known, *masked)))),
        local.notes,
    )


def is_unsent(wanted: Options) -> bool:
    """Whether a cell only shows what it would send."""
    return wanted.count or wanted.show_request or wanted.show_code


def _functions(kernel: Kernel, wanted: str | None, names: Mapping[str, Any]) -> Sequence[Tool]:
    """The functions that `--tools` names."""
    if wanted is None:
        return ()
    from ..tools.built_in import built_in_tools
    from ..tools.functions import named

    path = kernel.session.path
    built_in = built_in_tools(kernel.shell, path.parent if path is not None else Path.cwd())
    return named(wanted, names, built_in)


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
