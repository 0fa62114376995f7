"""Ask a question and show the reply: shared by the magics that ask and by `ask()` and `aask()`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..client import BLOCKING, now
from ..content.parts import Limits
from ..content.text import short_line, whole_text
from ..conversation.record_schema import MAX_ASKED_CHARACTERS
from ..errors import ClaudeError, SchemaError, UsageError
from ..notebook import preload
from ..options import is_address
from ..prompt.expressions import single_braces
from ..prompt.prompt import build_prompt, values_prompt
from ..render import history
from ..render.live import live
from ..render.live.columns import columns_for
from ..render.reply import ReplyText, reply_value, shown_value
from ..session import comparison
from ..session.question import Question, Replay
from ..tools import structured_output
from . import cell_inputs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..client import Transport
    from ..content.parts import Piece
    from ..content.secrets import Secrets
    from ..conversation.turns import Turn
    from ..notebook.cell import Cell
    from ..options import Options
    from ..render.live.live import ApprovingView
    from ..session.kernel import Kernel
    from ..session.session import Outcome
    from ..tools.structured_output import Shape


@dataclass(frozen=True)
class Typed:
    """A question as it is typed, in a cell or in Python.

    `options` are as typed; `names` are the names that expressions see; `shape` is the type of the reply. In `text`,
    `{{…}}` are expressions, unless there are `values`: those, by name, of a call, whose text has no syntax. `also` goes
    along besides what the options attach.
    """

    options: Options
    text: str
    cell: Cell
    names: Mapping[str, Any]
    shape: Shape | None = None
    values: Sequence[tuple[str, Any]] | None = None
    also: Sequence[Piece] = ()


@dataclass(frozen=True)
class Answered:
    """What a question came to: its turn, and the value that `--out` binds.

    Both are None if nothing was sent; there is no turn if several models were asked.
    """

    turn: Turn | None = None
    value: Any = None


def ask(kernel: Kernel, options: Options, body: str, cell: Cell, also: Sequence[Piece] = ()) -> Answered:
    """Ask the question of a cell and show the reply: `options` as typed, `body` the prompt, `also` what goes along."""
    typed = Typed(options, body, cell, kernel.namespace, cell_inputs.shape(kernel, options), also=also)
    view = _view(kernel)
    question = _question(kernel, typed, view)
    if "," in question.options.model:
        return _compare(kernel, question)
    if cell_inputs.is_unsent(options):
        _show_unsent(kernel, question)
        return Answered()
    answered = now(_answered(kernel, question, typed, view, BLOCKING))
    if not options.raw and (name := single_braces(body, typed.names)):
        print(f"{{{name}}} was sent as it is; {{{{{name}}}}} sends its value.")
    return answered


async def answer(kernel: Kernel, typed: Typed, *, show: bool, transport: Transport) -> Answered:
    """Ask a question of Python code; with `show`, show it as a cell does."""
    view = _view(kernel) if show else live.Silent(kernel.shell)
    if not show:  # nobody sees how long the cell takes
        typed = dataclasses.replace(typed, cell=dataclasses.replace(typed.cell, began=None))
    question = _question(kernel, typed, view)
    if "," in question.options.model:
        raise UsageError(
            f"ask() asks one model, and model names {len(comparison.compared_models(question.options.model))}.",
            advice="asyncio.gather(aask(…, model='opus'), aask(…, model='sonnet')) asks several at once.",
        )
    answered = await _answered(kernel, question, typed, view, transport)
    if show and answered.turn is not None and isinstance(answered.value, ReplyText):
        run = typed.cell.run
        return dataclasses.replace(answered, value=shown_value(answered.turn, lambda: kernel.cell.run == run))
    return answered


async def _answered(
    kernel: Kernel, question: Question, typed: Typed, view: ApprovingView, transport: Transport
) -> Answered:
    session = kernel.session_for(question.cell)
    outcome = await session.answer(question, kernel.settings(), view, transport)
    return Answered(outcome.turn, _conclude(kernel, outcome, question.options, typed.shape))


def _question(kernel: Kernel, typed: Typed, view: ApprovingView) -> Question:
    """The question as it is sent. Raises `UsageError`."""
    preload.finish()
    options = kernel.resolve(typed.options)
    secrets, limits = kernel.secrets(options), Limits(options.value_tokens, options.cell_tokens)
    pieces = [*cell_inputs.pieces(kernel, options, typed.cell, secrets, typed.names), *typed.also]
    if typed.values is None:
        prompt = build_prompt(typed.text, typed.names, pieces, raw=options.raw, secrets=secrets, limits=limits)
    else:
        prompt = values_prompt(typed.text, typed.values, pieces, secrets=secrets, limits=limits)
    schema = None if typed.shape is None else typed.shape.schema
    replay = Replay(kernel.configuration.replay, kernel.configuration.replay_speed)
    asked = _asked(typed, secrets) if prompt.attached else ""
    question = Question(options, prompt.content, typed.cell, prompt.attached, schema, replay=replay, asked=asked)
    if "," in options.model:
        return question
    return dataclasses.replace(question, tools=cell_inputs.tool_calls(kernel, question, view, secrets, typed.names))


def _asked(typed: Typed, secrets: Secrets) -> str:
    """The start of a prompt as it was typed, secrets masked: its expressions are not sent, and may hold some."""
    return short_line(whole_text(secrets.masked(typed.text)[0]), MAX_ASKED_CHARACTERS)


def continue_reply(kernel: Kernel, chat: str) -> None:
    """Continue the last reply of a chat."""
    outcome = kernel.session.continue_reply(chat, kernel.cell, kernel.settings(), _view(kernel))
    _conclude(kernel, outcome, kernel.configuration.defaults())


def compact(kernel: Kernel, chat: str) -> None:
    """Have the API summarise a chat."""
    options = kernel.resolve(dataclasses.replace(kernel.configuration.defaults(), chat=chat, once=False))
    outcome = kernel.session.compact(options, kernel.cell, kernel.settings(), _view(kernel))
    _conclude(kernel, outcome, options)


def _show_unsent(kernel: Kernel, question: Question) -> None:
    """Show the token count, or the request as JSON or as a script, without sending it."""
    options, session = question.options, kernel.session_for(question.cell)
    if options.count and not options.show_request:
        counted = session.count(question, kernel.settings())
        kernel.shell.display_pub.publish(history.count_table(counted, question.attached), {})
        return
    from ..render import export

    built = session.request(question, kernel.configuration.provider)
    print(built.as_json() if options.show_request else export.script(built.params))


def _compare(kernel: Kernel, question: Question) -> Answered:
    """Ask several models the same question and show the replies side by side.

    Raises `UsageError` for options that are for one model only.
    """
    options = question.options
    names = comparison.compared_models(options.model)
    single = {"--show-request": options.show_request, "--show-code": options.show_code}
    single |= {"--schema": bool(options.schema), "--tools": bool(options.tools), "--code": options.code}
    single |= {"--mcp with a local server": not all(map(is_address, options.mcp))}
    for flag in (flag for flag, given in {**single, "--fallback": options.fallback}.items() if given):
        raise UsageError(f"{flag} is for one model, and --model names {len(names)}.", advice="Name one of them.")
    session, settings = kernel.session_for(question.cell), kernel.settings()
    if options.count:
        counted = comparison.count_models(session, question, names, settings)
        kernel.shell.display_pub.publish(history.counts_table(counted), {})
        return Answered()
    view = columns_for(kernel.shell, panel=_wants_panel(kernel), began=question.cell.began)
    with session.under_way():
        outcome = comparison.compare(session, question, names, settings, view)
    value = None
    if outcome.compared and (outcome.joined or outcome.failure is None):
        value = {model: reply_value(turn) for model, turn in outcome.compared.items()}
        if options.out:
            kernel.shell.user_ns[options.out] = value
    _conclude(kernel, outcome, dataclasses.replace(options, out=None))
    return Answered(value=value)


def _view(kernel: Kernel) -> ApprovingView:
    return live.view_for(kernel.shell, panel=_wants_panel(kernel), began=kernel.cell.began)


def _wants_panel(kernel: Kernel) -> bool:
    """Whether this cell gets a panel: only if the frontend sends cell ids, as those that show widgets do.

    An instant replay gets none: it would be closed before the page could draw it.
    """
    configured = kernel.configuration
    at_once = configured.replay == "only" and configured.replay_speed == 0
    return bool(configured.panel and kernel.cell.id is not None and not at_once)


def _conclude(kernel: Kernel, outcome: Outcome, options: Options, shape: Shape | None = None) -> Any:
    """Bind the reply or its value to `--out`, print a warning about the budget, and raise the failure, if any.

    Returns the reply or its value. The error has the reply, as far as it arrived.
    """
    turn, failure, value = outcome.turn, outcome.failure, None
    if turn is not None and shape is not None and failure is None:
        value = _bind(kernel, shape, turn, options.out)
    elif turn is not None and shape is None and (outcome.joined or failure is None):
        value = reply_value(turn)
        if options.out:
            kernel.shell.user_ns[options.out] = value
    if warning := kernel.warning():
        print(warning)
    if failure is not None:
        if turn is None:
            raise failure
        failure.reply = reply_value(turn)
        raise _with_advice(failure, outcome)
    return value


def _bind(kernel: Kernel, shape: Shape, turn: Turn, name: str | None) -> Any:
    """The validated value of a structured reply, bound to a name. Raises `SchemaError` if the reply does not fit."""
    try:
        value, about = structured_output.bound(shape, structured_output.read(shape, turn, name or "reply"))
    except SchemaError as error:
        error.reply = reply_value(turn)
        raise
    if name:
        kernel.shell.user_ns[name] = value
        if about:
            print(f"{name} is {about}.")
    return value


def _with_advice(failure: ClaudeError, outcome: Outcome) -> ClaudeError:
    """The failure of a reply that had begun, with whether its part was kept added to the advice."""
    if outcome.turn is None or outcome.turn.replayed:
        return failure
    kept = "What had arrived is kept." if outcome.joined else "The conversation is as it was."
    failure.advice = f"{kept} {failure.advice}".strip()
    return failure
