"""The magic `%%claude_map`: one prompt for each row of data, asked now or as batches."""

from __future__ import annotations

import dataclasses
import inspect
import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

from IPython.core.magic import line_cell_magic, magics_class, no_var_expand

from .. import options
from ..errors import ReplyInterrupted, UsageError
from ..notebook.scope import places
from ..options import is_address
from .base import KernelMagics
from .line import MAP_ACTIONS, read, read_map

if TYPE_CHECKING:
    from ..mapping.job import MapContext
    from ..mapping.prompts import RowRequests
    from ..mapping.run import Maps
    from ..options import MapOptions, Options
    from ..request.build import Request

_USAGE = f"%claude_map {' | '.join(MAP_ACTIONS)}, or %%claude_map FRAME --out NAME with the prompt below it"


@magics_class
class MapMagics(KernelMagics):
    """`%%claude_map`."""

    @cached_property
    def _maps(self) -> Maps:
        from ..mapping.run import Maps

        return Maps()

    @no_var_expand
    @line_cell_magic
    def claude_map(self, line: str, cell: str | None = None) -> None:
        """Ask the same prompt for each row of a DataFrame, a column, a list or any other iterable.

            %%claude_map FRAME --out NAME [options]

            Which language is this? {{row.text}}

        FRAME is an expression. In the prompt, {{row.column}} or {{row["a column"]}} is a value of the row, {{item}} an
        item of a list or a column; any other {{expression}} is evaluated once. NAME becomes a frame of the same kind
        with the columns reply, input_tokens, output_tokens, cost (dollars) and error: a row that fails stops no other.
        When the cell runs again, only rows without an answer are asked. Equal rows are asked once. In a pandas frame,
        {{row.NAME}} is the index too, by its name, and {{key}} its label. Dates and times are written as ISO 8601.

          --nulls ask       ask rows also whose values in the prompt are missing; without it, error says which were not
          --concurrency N   rows asked at the same time, at most (default 8)
          --budget DOLLARS  stop when this is spent; rows under way are finished and kept
          --fresh           ask every row, also those that were answered before
          --batch           use Message Batches: half the price, within 24 hours; the kernel may stop meanwhile
          --background      let other cells run meanwhile; NAME is bound at the end

        %claude_map --resume    collect the batches of this notebook; running the cell again does the same
        %claude_map --status    show the state of batches and of maps in the background
        %claude_map --cancel    cancel them; finished rows are kept
        %claude_map --wait      wait for the maps in the background

        A picture, a figure or a Path in {{row.NAME}} goes as an image or a document; text never names a file, except in
        --image "{{row.path}}" and --file "{{row.path}}". Without the row, --image and --file attach the same to all
        rows, cached. --system "Answer in {{row.language}}" is filled for each row. A prompt that begins with
        {{row.messages}}, a list of dicts with role and content, follows that row's earlier turns; alone, it is the
        whole conversation.

        --schema S makes a column of each field of S. --model, --max-tokens, --effort, --thinking, --stop and
        --cache are those of %%claude. A Dask frame stays lazy: its partitions are asked where Dask computes them.
        --show-request prints the first row's request and sends nothing.
        """
        if options.asks_for_help(line, is_cell=True):
            print(inspect.cleandoc(str(MapMagics.claude_map.__doc__)))
            return
        if cell is None:
            self._run_action(line)
            return
        try:
            self._map(line, cell.removesuffix("\n"))
            return
        except KeyboardInterrupt:
            failure = ReplyInterrupted("Interrupted before the first row was asked.")
        raise failure

    def _map(self, line: str, body: str) -> None:
        """Parse the line, and start the map or print its first request."""
        from ..mapping import run
        from ..mapping.rows import rows_of
        from ..tools.structured_output import shape_of

        context, namespace = self._context(), self.kernel.namespace
        run.adopt_early(context)
        asked = read_map(line, self.kernel.configuration.defaults())
        value = _value_of(asked.over, namespace)
        if asked.options.out is None and not asked.options.show_request:
            raise UsageError("The result needs a name.", advice=f"Write %%claude_map {asked.over} --out NAME.")
        shape = shape_of(asked.options.schema, namespace) if asked.options.schema else None
        asked = self._resolved(asked)
        if not all(map(is_address, asked.options.mcp)):
            raise UsageError(
                "%%claude_map takes addresses after --mcp, and no local server: its tools run in the notebook.",
                advice="A server whose address opens with https:// is asked by the API itself. Nothing was sent.",
            )
        context = self._context(None if shape is None else shape.schema)
        if asked.options.show_request:
            print(_first_request(run.row_requests(asked, body, rows_of(value), context)))
        else:
            self._maps.begin(asked, body, value, shape, context)

    def _resolved(self, asked: MapOptions) -> MapOptions:
        """The options as they are sent. A system prompt that names the row is filled for each row, and not here."""
        from ..mapping.prompts import names_row

        typed = asked.options
        if not typed.system or not names_row(typed.system):
            return dataclasses.replace(asked, options=self.kernel.resolve(typed))
        resolved = self.kernel.resolve(dataclasses.replace(typed, raw=True))
        if resolved.system != typed.system:  # the chat has one of its own
            return dataclasses.replace(asked, options=dataclasses.replace(resolved, raw=False))
        options = dataclasses.replace(resolved, raw=False, system="")
        return dataclasses.replace(asked, options=options, row_system=typed.system)

    def _run_action(self, line: str) -> None:
        """Run `%claude_map --wait`, `--resume`, `--cancel` or `--status` on this notebook's maps and batches."""
        action = read(line, _USAGE).one_of(*MAP_ACTIONS)
        if action is None:
            raise UsageError("%claude_map wants an option, for maps in progress.", advice=f"Write {_USAGE}.")
        self._maps.look_after(action, self._context())

    def _context(self, schema: Any = None) -> MapContext:
        """What a map needs from this notebook; `schema` is the JSON schema of each reply."""
        from ..conversation.turns import Conversation
        from ..mapping.job import MapContext
        from ..session.question import Question

        kernel, cell, notebook = self.kernel, self.kernel.cell, self.kernel.notebooks.current
        configured, session = kernel.configuration, kernel.session_for(cell)

        def base(wanted: Options) -> Request:
            plain = dataclasses.replace(wanted, once=True, compact=None)
            return session.build(Conversation(), Question(plain, (), cell, schema=schema), configured.provider)

        return MapContext(
            shell=self.shell,
            client=kernel.client,
            settings=kernel.settings(),
            base=base,
            spend=session.spend,
            note_spent=lambda name, cost: kernel.page.map_spent(name, cost, notebook),
            budget=session.budget,
            path=session.path,
            cell=cell.execution_count,
            keeps=configured.journal,
            panel=bool(configured.panel and cell.id is not None),
            names=kernel.namespace,
            unkept=self._maps.unkept,
        )


def _value_of(source: str, namespace: dict[str, Any]) -> Any:
    """The value of the expression to map over. Raises `UsageError` if it is missing or fails."""
    from ..content.safely import one_line

    if not source:
        raise UsageError(
            "%%claude_map wants FRAME, the data to map over.", advice="Write %%claude_map FRAME --out NAME."
        )
    try:
        return eval(compile(source, "<%%claude_map>", "eval"), namespace)
    except (Exception, SystemExit) as error:
        why = f"there is no name {error.name!r}{places(namespace)}" if type(error) is NameError else one_line(error)
    raise UsageError(f"{source} cannot be mapped over: {why}.", advice="Nothing was sent.")


def _first_request(requests: RowRequests) -> str:
    failure = ""
    for request in requests:
        if not request.failure:
            return json.dumps(request.params, indent=2, ensure_ascii=False)
        failure = failure or request.failure
    raise UsageError(f"No row can be asked: {failure}" if failure else "There are no rows.")
