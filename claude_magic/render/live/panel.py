"""The widget panel above a streaming reply: its state, a Stop button, thinking as it arrives, and questions.

Core ipywidgets only, without own JavaScript. The panel is removed when the reply is done: `close` leaves no widget
model behind.
"""

from __future__ import annotations

import base64
import html
import io
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...conversation.turns import Block
from ..markup import gate
from .clicks import Clicks

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

THUMBNAIL_PIXELS = 96
WAIT_SECONDS = 0.2
# How long a new question takes no click: one that comes so soon was meant for what was there before.
HOLD_SECONDS = 0.7
_BAR = "accent-color: var(--jp-brand-color1); width: 14em; height: 1em; margin-right: 0.7em; vertical-align: middle"


# The page holds clicks back from the moment at which it shows a button, however late that is.
_HELD = "claude-magic-held"
_HOLD = (
    f"<style>@keyframes {_HELD} {{ from, to {{ pointer-events: none; opacity: 0.5; }} }} "
    f".{_HELD} {{ animation: {_HELD} {HOLD_SECONDS}s; }}</style>"
)


@dataclass(frozen=True)
class Choice:
    """A button of a question: its label, the value that a click on it answers, and its tooltip."""

    label: str
    value: Any
    tooltip: str
    style: str = ""


class Panel:
    """The widgets of the panel. A click on Stop calls `stop` in another thread than the cell's."""

    def __init__(self, images: Iterable[Block], stop: Callable[[], None], shell: InteractiveShell) -> None:
        import ipywidgets as widgets

        self.clicks = Clicks(shell)
        self._stop = widgets.Button(description="Stop", icon="stop", tooltip="Stop this reply; what arrived is kept")
        self._stop.layout.width = "auto"
        self._stop.layout.display = "none"
        self._stop.on_click(lambda _button: stop())
        _route_clicks_to_subshell(self._stop)
        self._state = widgets.HTML()
        thumbnails = [widgets.Image(**_thumbnail(block)) for block in images]
        self._thinking = widgets.HTML()
        self._fold = widgets.Accordion([self._thinking], titles=("Thinking",))
        self._fold.layout.display = "none"
        self._folded: bool | None = None
        first_row = widgets.HBox([self._stop, self._state, *thumbnails])
        first_row.layout.align_items = "center"
        self._question, self._buttons = widgets.HTML(), widgets.HBox()
        hold = widgets.HTML(_HOLD)  # from the start, since a page may draw the buttons before the text of a question
        hold.layout.display = "none"
        self._all = widgets.VBox([hold, first_row, self._fold, self._question, self._buttons])
        self._stoppable: bool | None = None

    @property
    def bundle(self) -> dict[str, Any]:
        """The MIME bundle to display."""
        shown: dict[str, Any] = self._all._repr_mimebundle_()
        return {**shown, "text/plain": "Claude is answering …"}

    def say(self, state: str, *, stoppable: bool, share: float | None = None) -> None:
        """Show the state, and how to stop: by the button if `stoppable`, else by the kernel's Interrupt.

        `share`, from 0 to 1, is shown as a progress bar.
        """
        if stoppable is not self._stoppable:
            self._stoppable = stoppable
            self._stop.layout.display = None if stoppable else "none"
        hint = "" if stoppable else " · <b>■ Interrupt</b> stops it"
        bar = "" if share is None else f'<progress max="1" value="{share:.3f}" style="{_BAR}"></progress>'
        value = f'<span role="status" class="{gate.NO_FORMULAS}">{bar}{html.escape(state)}{hint}</span>'
        if value != self._state.value:
            self._state.value = value

    def show_thinking(self, text: str, *, answering: bool) -> None:
        """Show the thinking so far, in a fold that is open until the answer begins, and then as the reader left it."""
        if not text:
            return
        if answering is not self._folded:
            self._folded = answering
            self._fold.selected_index = None if answering else 0
        style = "white-space: pre-wrap; overflow-wrap: anywhere; max-height: 20em; overflow-y: auto; line-height: 1.5"
        self._thinking.value = f'<div class="{gate.NO_FORMULAS}" style="{style}">{html.escape(text)}</div>'
        self._fold.layout.display = None

    def ask(self, question: str, choices: Sequence[Choice]) -> Any:
        """Ask a question, given as inert HTML, and wait for a click on a choice; returns its value.

        The buttons take no click in their first `HOLD_SECONDS`. An Interrupt raises `KeyboardInterrupt`.
        """
        answered, answers = threading.Event(), list[Any]()

        def answer(value: Any) -> None:
            answers.append(value)
            answered.set()

        buttons = [_held_button(choice, answer) for choice in choices]
        self._question.value = question
        self._buttons.children = buttons
        try:
            time.sleep(HOLD_SECONDS)
            for button in buttons:
                button.disabled = False
            while not answered.wait(WAIT_SECONDS):  # on Windows an Interrupt arrives only between waits
                pass
        finally:
            self._question.value = ""
            self._buttons.children = ()
            for button in buttons:
                for widget in _models(button):
                    widget.close()
        return answers[0]

    def close(self) -> None:
        """Close all widget models, those of layouts and styles too."""
        for widget in list(_models(self._all)):
            widget.close()


def _held_button(choice: Choice, answer: Callable[[Any], None]) -> Any:
    """A button that is disabled, and answers no click until it is enabled."""
    import ipywidgets as widgets

    def clicked(button: Any) -> None:
        if not button.disabled:
            answer(choice.value)

    made = widgets.Button(description=choice.label, tooltip=choice.tooltip, button_style=choice.style, disabled=True)
    made.layout.width = "auto"
    made.add_class(_HELD)
    made.on_click(clicked)
    _route_clicks_to_subshell(made)
    return made


def _route_clicks_to_subshell(button: Any) -> None:
    """Send a button's clicks to the subshell that the frontend names.

    ipykernel 7.4 sends a comm's messages to the shell that published on it last, which is busy with the cell
    (RENDERING.md §7). Versions without this hook ignore the attribute.
    """
    button.comm._reply_subshell_for = lambda _data, default: default


def _models(widget: Any) -> Iterator[Any]:
    """A widget's models: its children's, its layout, its style, and its own."""
    for child in getattr(widget, "children", ()):
        yield from _models(child)
    for name in ("layout", "style"):
        if (model := getattr(widget, name, None)) is not None:
            yield model
    yield widget


def _thumbnail(block: Block) -> dict[str, Any]:
    """The arguments of an Image widget for a thumbnail of an image block."""
    from PIL import Image

    with Image.open(io.BytesIO(base64.b64decode(block["source"]["data"]))) as image:
        image.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
        file = io.BytesIO()
        image.convert("RGBA").save(file, "PNG")
    return {"value": file.getvalue(), "format": "png", "layout": {"max_height": "2.5em", "margin": "0 0 0 0.5em"}}
