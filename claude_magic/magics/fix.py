"""The magic `%claude_fix`: ask for a corrected version of a cell that failed, and offer it as a difference."""

from __future__ import annotations

from itertools import islice

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
        """Have Claude correct the cell that failed last, or the one that `--cell` names by the number of its In [ ] or
        its id: shows a diff, and puts the corrected code into a new cell below, which does not run by itself; with
        `--diff` there is no new cell. Words after the options are added to the question.

        %claude_fix [--cell CELL] [--diff] [options of %%claude] [words]
        """
        from ..prompt.notebook_cells import Surroundings
        from ..render.turn import reply_text
        from . import code_cell
        from .ask import ask

        cell, diff, rest = own_options(line)
        wanted, words = options.parse(rest, self.kernel.configuration.defaults())
        if "," in wanted.model or wanted.schema or wanted.code:
            raise UsageError("%claude_fix asks one model for one cell: it takes no --code, --schema or several models.")
        secrets = self.kernel.secrets(wanted)
        around = Surroundings(self.kernel.executions, self.kernel.session.path, secrets, wanted.context_tokens)
        failed = around.failed(cell)
        turn = ask(self.kernel, wanted, f"{REQUEST}\n\n{words}".strip(), self.kernel.cell, [failed.piece]).turn
        if turn is None:
            return
        from ..render.markup.markdown import code_blocks

        source = failed.source.rstrip("\n")
        mended = code_cell.closest(code_blocks(reply_text(turn)), source)
        code = code_cell.with_secrets(mended, source, secrets)
        if not code.strip():
            print(code_cell.NO_CODE)
        elif code.strip() == source.strip():
            print("Claude proposes the cell as it is: there is nothing to change.")
        else:
            before, after = (secrets.masked(text, is_code=True)[0] for text in (source, code))
            self.shell.display_pub.publish(code_cell.diff(before, after, failed.cell_id), {})
            if not diff:
                code_cell.offer(self.shell, code)


def own_options(line: str) -> tuple[str | None, bool, str]:
    """The value of `--cell` (None without), whether `--diff` is given, and the line without them.

    They stand among the options in front of the words. Raises `UsageError` for a `--cell` without a value.
    """
    cell, diff, kept, at = None, False, "", 0
    words = iter(options.spans(line))
    for word in words:
        start = line.index(word, at)
        at = start + len(word)
        flag, equals, attached = word.partition("=")
        if flag == "--cell":
            cell = (attached if equals else next(words, "")).strip("\"'")
            at = at if equals else line.index(cell, at) + len(cell)
            if not cell:
                raise UsageError("--cell wants a cell: the number of its In [ ], or its id.")
        elif word == "--diff":
            diff = True
        elif word.startswith("-") and word != "--":
            field = options.BY_FLAG.get(flag)
            value = list(islice(words, 1)) if field and field.metadata["metavar"] and not equals else []
            kept += " ".join([word, *value, ""])
            at = line.index(value[0], at) + len(value[0]) if value else at
        else:
            return cell, diff, kept + line[start:]
    return cell, diff, kept
