"""Conversations → exported files: Markdown, lossless JSON, an HTML page, or a script that makes the same calls.

Nothing is written to disk here: the caller gets the text, and the files to write beside it. The text of a conversation
is untrusted: it is quoted or escaped, and never becomes markup or code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePath

from ...conversation.turns import Conversation
from ...errors import UsageError
from . import assets, html, markdown
from .assets import Exported
from .script import script, write

__all__ = ["FORMS", "Exported", "export", "form_of", "script"]

_WRITERS: Mapping[str, Callable[[Mapping[str, Conversation], str, str], Exported]] = {
    "md": markdown.write,
    "json": assets.write_json,
    "html": html.write,
    "py": write,
}
FORMS = tuple(_WRITERS)


def export(chats: Mapping[str, Conversation], form: str, *, title: str, stem: str) -> Exported:
    """Export the chats, by name, in one of `FORMS`.

    `stem` is the file's name without its suffix: the folder of the files beside it is `<stem>_files`.
    Raises `UsageError` for an unknown form, and for turns that cannot be written.
    """
    if form not in _WRITERS:
        raise UsageError(f"There is no export as {form!r}.", advice=f"There are: {', '.join(FORMS)}.")
    try:
        return _WRITERS[form](chats, title, stem)
    except RecursionError:
        raise UsageError(f"The conversation cannot be written as {form}: a block in it is nested too deeply.") from None


def form_of(path: str | PurePath) -> str:
    """The form for a file's suffix. Raises `UsageError` if it is none of `FORMS`."""
    suffix = PurePath(path).suffix.lower()
    if suffix.removeprefix(".") in FORMS and suffix:
        return suffix.removeprefix(".")
    known = ", ".join(f".{form}" for form in FORMS)
    what = f"no export as {suffix!r}" if suffix else f"no suffix on {str(path)!r}"
    raise UsageError(f"There is {what}.", advice=f"The file's suffix says what to write: {known}.")
