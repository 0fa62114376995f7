"""Ask a question from a cell and show the reply: shared by `%claude`, `%claude_fix` and `%claude_continue`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from ..content.parts import Limits
from ..errors import ClaudeError, UsageError
from ..prompt.prompt import build_prompt
from ..render import history
from ..render.live import live
from ..render.live.columns import columns_for
from ..render.reply import reply_value
from ..session import comparison
from ..session.question import Question, Replay
from ..tools import structured_output
from . import cell_inputs

if TYPE_CHECKING:
    from ..conversation.turns import Turn
    from ..notebook.cell import Cell
    from ..options import Options
    from ..render.live.live import ApprovingView
    from ..session.kernel import Kernel
    from ..session.session import Outcome
    from ..tools.structured_output import Shape


def ask(kernel: Kernel, typed: Options, body: str, cell: Cell) -> Turn | None:
    """Ask the question of a cell and show the reply. Returns its turn; None if nothing or several models were asked.

    `typed` are the options as typed, `body` the prompt.
    """
    shape = cell_inputs.shape(kernel, typed)
    options = kernel.resolve(typed)
    secrets, limits = kernel.secrets(options), Limits(options.value_tokens, options.cell_tokens)
    pieces = cell_inputs.pieces(kernel, options, cell, secrets)
    prompt = build_prompt(body, kernel.namespace, pieces, raw=options.raw, secrets=secrets, limits=limits)
    schema = None if shape is None else shape.schema
    replay = Replay(kernel.configuration.replay, kernel.configuration.replay_speed)
    question = Question(options, prompt.content, cell, prompt.attached, schema, replay=replay)
    if "," in options.model:
        _compare(kernel, question)
        return None
    view = _view(kernel)
    question = dataclasses.replace(question, tools=cell_inputs.tool_calls(kernel, options, view, secrets))
    if options.count or options.show_request or options.show_code:
        _show_unsent(kernel, question)
        return None
    outcome = kernel.session_for(cell).ask(question, kernel.settings(), view)
    _conclude(kernel, outcome, options, shape)
    return outcome.turn


def continue_reply(kernel: Kernel, chat: str) -> None:
    """Continue the last reply of a chat."""
    outcome = kernel.session.continue_reply(chat, kernel.cell, kernel.settings(), _view(kernel))
    _conclude(kernel, outcome, kernel.configuration.defaults())


def compact(kernel: Kernel, chat: str) -> None:
    """Have the API summarise a chat."""
    options = kernel.resolve(dataclasses.replace(kernel.configuration.defaults(), chat=chat))
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


def _compare(kernel: Kernel, question: Question) -> None:
    """Ask several models the same question and show the replies side by side.

    Raises `UsageError` for options that are for one model only.
    """
    options = question.options
    names = comparison.compared_models(options.model)
    single = {"--show-request": options.show_request, "--show-code": options.show_code}
    single |= {"--schema": bool(options.schema), "--tools": bool(options.tools), "--code": options.code}
    for flag in (flag for flag, given in {**single, "--fallback": options.fallback}.items() if given):
        raise UsageError(f"{flag} is for one model, and --model names {len(names)}.", advice="Name one of them.")
    session, settings = kernel.session_for(question.cell), kernel.settings()
    if options.count:
        counted = comparison.count_models(session, question, names, settings)
        kernel.shell.display_pub.publish(history.counts_table(counted), {})
        return
    view = columns_for(kernel.shell, panel=_wants_panel(kernel))
    outcome = comparison.compare(session, question, names, settings, view)
    if options.out and outcome.compared and (outcome.joined or outcome.failure is None):
        kernel.shell.user_ns[options.out] = {model: reply_value(turn) for model, turn in outcome.compared.items()}
    _conclude(kernel, outcome, dataclasses.replace(options, out=None))


def _view(kernel: Kernel) -> ApprovingView:
    return live.view_for(kernel.shell, panel=_wants_panel(kernel))


def _wants_panel(kernel: Kernel) -> bool:
    """Whether this cell gets a panel: only if the frontend sends cell ids, as those that show widgets do.

    An instant replay gets none: it would be closed before the page could draw it.
    """
    configured = kernel.configuration
    at_once = configured.replay == "only" and configured.replay_speed == 0
    return bool(configured.panel and kernel.cell.id is not None and not at_once)


def _conclude(kernel: Kernel, outcome: Outcome, options: Options, shape: Shape | None = None) -> None:
    """Bind the reply or its value to `--out`, print a warning about the budget, and raise the failure, if any."""
    turn = outcome.turn
    if turn is not None and shape is not None and outcome.failure is None:
        _bind(kernel, shape, turn, options.out)
    elif turn is not None and shape is None and options.out and (outcome.joined or outcome.failure is None):
        kernel.shell.user_ns[options.out] = reply_value(turn)
    if warning := kernel.warning():
        print(warning)
    if outcome.failure is not None:
        raise outcome.failure if turn is None else _with_advice(outcome.failure, outcome)


def _bind(kernel: Kernel, shape: Shape, turn: Turn, name: str | None) -> None:
    """Bind the validated value of a structured reply. Raises `SchemaError` if the reply does not fit."""
    value, about = structured_output.bound(shape, structured_output.read(shape, turn, name or "reply"))
    if name:
        kernel.shell.user_ns[name] = value
        if about:
            print(f"{name} is {about}.")


def _with_advice(failure: ClaudeError, outcome: Outcome) -> ClaudeError:
    """The failure of a reply that had begun, with whether its part was kept added to the advice."""
    if outcome.turn is None or outcome.turn.replayed:
        return failure
    kept = "What had arrived is kept." if outcome.joined else "The conversation is as it was."
    failure.advice = f"{kept} {failure.advice}".strip()
    return failure
