"""The magic `%claude_fix`: ask for a corrected version of the cell that failed, and offer it as a new cell."""

from __future__ import annotations

import dataclasses

from IPython.core.magic import line_magic, magics_class, no_var_expand

from .. import options
from ..errors import UsageError
from .base import KernelMagics

REQUEST = (
    "Correct the cell that failed. Reply with the whole corrected cell as one Python code block, changed no more than "
    "it takes, and say in a sentence or two what was wrong."
)


@magics_class
class FixMagics(KernelMagics):
    """`%claude_fix`."""

    @no_var_expand
    @line_magic
    def claude_fix(self, line: str) -> None:
        """Have Claude correct the cell that failed last: shows a diff, and puts the corrected code into a new cell
        below, which does not run by itself. Words after the options are added to the question.

        %claude_fix [options of %%claude] [words]
        """
        from ..render.turn import reply_text
        from . import code_cell
        from .ask import ask

        wanted, words = options.parse(line, self.kernel.configuration.defaults())
        if "," in wanted.model or wanted.schema or wanted.code:
            raise UsageError("%claude_fix asks one model for one cell: it takes no --code, --schema or several models.")
        failure = self.kernel.executions.last_failure
        source = self.kernel.executions.source(failure.number) if failure and failure.number else None
        if failure is None or source is None:
            raise UsageError("There is no failed cell to correct: none has failed since claude_magic was loaded.")
        wanted = dataclasses.replace(wanted, error=True)
        turn = ask(self.kernel, wanted, f"{REQUEST}\n\n{words}".strip(), self.kernel.cell).turn
        if turn is None:
            return
        from ..render.markup.markdown import code_blocks

        secrets = self.kernel.secrets(wanted)
        code = code_cell.closest(code_blocks(reply_text(turn)), source)
        code = code_cell.with_secrets(code, source.rstrip("\n"), secrets)
        if not code.strip():
            print(code_cell.NO_CODE)
        elif code.strip() == source.strip():
            print("Claude proposes the cell as it is: there is no new cell.")
        else:
            before, after = (secrets.masked(text, is_code=True)[0] for text in (source.rstrip("\n"), code))
            self.shell.display_pub.publish(code_cell.diff(before, after), {})
            code_cell.offer(self.shell, code)
