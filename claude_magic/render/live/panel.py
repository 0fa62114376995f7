"""The widget panel above a streaming reply: its state, a Stop button, thinking and tool calls as they arrive.

Core ipywidgets only, without own JavaScript. The panel is removed when the reply is done: `close` leaves no widget
model behind.
"""

from __future__ import annotations

import base64
import html
import io
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ...conversation.turns import Block

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

THUMBNAIL_PIXELS = 96
WAIT_SECONDS = 0.2
_BAR = "accent-color: var(--jp-brand-color1); width: 14em; height: 1em; margin-right: 0.7em; vertical-align: middle"


def clicks_arrive(shell: InteractiveShell) -> bool:
    """Whether clicks arrive while a cell runs: they do if the frontend has opened a subshell (ipykernel 7)."""
    thread = getattr(getattr(shell, "kernel", None), "shell_channel_thread", None)
    manager = getattr(thread, "manager", None)
    return bool(manager is not None and manager.list_subshell())


class Panel:
    """The widgets of the panel. A click on Stop calls `stop` in another thread than the cell's."""

    def __init__(self, images: Iterable[Block], stop: Callable[[], None]) -> None:
        import ipywidgets as widgets

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
        self._all = widgets.VBox([first_row, self._fold, self._question, self._buttons])
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
        value = f'<span role="status" class="tex2jax_ignore mathjax_ignore">{bar}{html.escape(state)}{hint}</span>'
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
        self._thinking.value = f'<div class="tex2jax_ignore mathjax_ignore" style="{style}">{html.escape(text)}</div>'
        self._fold.layout.display = None

    def ask(self, question: str, details: str) -> bool:
        """Ask a question with buttons and wait for a click; `details` are shown below it, escaped.

        An Interrupt raises `KeyboardInterrupt`.
        """
        import ipywidgets as widgets

        answered, answers = threading.Event(), list[bool]()

        def button(label: str, style: str, answer: bool) -> Any:
            def clicked(_button: Any) -> None:
                answers.append(answer)
                answered.set()

            made = widgets.Button(description=label, button_style=style)
            made.on_click(clicked)
            _route_clicks_to_subshell(made)
            return made

        style = "white-space: pre-wrap; overflow-wrap: anywhere; max-height: 20em; overflow-y: auto; line-height: 1.4"
        self._question.value = (
            f'<div class="tex2jax_ignore mathjax_ignore" role="alert"><strong>{html.escape(question)}</strong>'
            f'<pre style="{style}">{html.escape(details)}</pre></div>'
        )
        self._buttons.children = (button("Run", "primary", True), button("Refuse", "", False))
        try:
            while not answered.wait(WAIT_SECONDS):  # on Windows an Interrupt arrives only between waits
                pass
        finally:
            self._question.value = ""
            buttons, self._buttons.children = self._buttons.children, ()
            for each in buttons:
                for widget in _models(each):
                    widget.close()
        return answers[0]

    def close(self) -> None:
        """Close all widget models, those of layouts and styles too."""
        for widget in list(_models(self._all)):
            widget.close()


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
