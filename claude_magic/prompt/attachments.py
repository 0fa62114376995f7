"""Attachments: what `--image` and `--file` name (paths, glob patterns, URLs, data URLs, variables) → prompt pieces.

A URL is fetched and its bytes are sent, so that the notebook holds what Claude saw; `--by-url` sends the URL itself.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import glob
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from ..client import lookups
from ..client.redaction import shown_address
from ..content import images
from ..content.parts import Piece, Text
from ..content.safely import is_from_library, try_or_none
from ..content.text import short
from ..errors import PromptError, UsageError
from ..notebook.scope import places
from ..options import CREDENTIAL, IPYTHON_NAMES, Options
from . import expressions, prompt
from .values.files import MAX_FILE_BYTES, NOTHING_SENT, Attachment, of_data, of_path

MAX_ATTACHMENTS = 600  # as many images as a request takes (CLAUDE_API.md §3)
MAX_SHOWN_CHARACTERS = 80
_PATTERN = re.compile(r"[*?\[]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_IMAGE_NAME = re.compile(r"\.(?:png|jpe?g|gif|webp)$", re.IGNORECASE)


@dataclass(frozen=True)
class _Wanted:
    """How the words of one flag are attached: `flag` is `--image` or `--file`; with `by_url` a URL is sent as it is."""

    flag: str
    by_url: bool
    namespace: Mapping[str, Any]

    @property
    def image(self) -> bool:
        return self.flag == "--image"


def pieces(wanted: Options, namespace: Mapping[str, Any]) -> list[Piece]:
    """The pieces attached before the prompt's text: images first, then files, each in the order given.

    Raises `UsageError` for a word that cannot be found, read or sent, and for more than `MAX_ATTACHMENTS` pieces.
    """
    found = [piece for word in words(wanted) for piece in word.pieces(namespace)]
    if len(found) > MAX_ATTACHMENTS:
        raise UsageError(f"{len(found):,} attachments are more than a request takes ({MAX_ATTACHMENTS}).")
    return found


@dataclass(frozen=True)
class Word:
    """One word of `--image` or `--file`; `about` are the title and the context of a document, by flag."""

    flag: str
    text: str
    by_url: bool = False
    about: Mapping[str, str] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """The expression of a word `{{…}}`; empty for any other word."""
        return self.text[2:-2].strip() if self.text.startswith("{{") and self.text.endswith("}}") else ""

    def pieces(self, namespace: Mapping[str, Any]) -> list[Piece]:
        """The pieces that the word stands for. Raises `UsageError` if it cannot be found, read or sent."""
        return self._described(list(_word_pieces(self.text, _Wanted(self.flag, self.by_url, namespace))))

    def pieces_of(self, value: Any) -> list[Piece]:
        """The pieces for a value of the word's expression, in which a string is a path or an address."""
        return self._described(list(_value_pieces(value, self.source, _Wanted(self.flag, self.by_url, {}))))

    def _described(self, made: list[Piece]) -> list[Piece]:
        return _described(made, self.text, self.about) if self.about else made


def words(wanted: Options) -> list[Word]:
    """The words of `--image`, then those of `--file`, each in the order given. Raises `UsageError`."""
    given = {"--file-title": wanted.file_title, "--file-context": wanted.file_context}
    for flag, texts in given.items():
        if len(texts) > len(wanted.file):
            raise UsageError(f"There is a {flag} more than there are files.", advice=f"--file PATH. {NOTHING_SENT}")
    if wanted.by_url and not any(map(_is_address, (*wanted.image, *wanted.file))):
        raise UsageError("--by-url is for an http or https address in --image or --file.", advice=NOTHING_SENT)
    found = [Word("--image", text, wanted.by_url) for text in wanted.image]
    for position, text in enumerate(wanted.file):
        about = {flag: texts[position] for flag, texts in given.items() if position < len(texts)}
        found.append(Word("--file", text, wanted.by_url, about))
    return found


def _described(made: list[Piece], word: str, about: Mapping[str, str]) -> list[Piece]:
    """The pieces of a `--file` with its title and its context. Raises `UsageError` if they are no single document."""
    for flag, text in about.items():
        documents = [part for piece in made for part in piece.parts if not isinstance(part, Text)]
        if len(made) != 1 or [part["type"] for part in documents] != ["document"]:
            shown = short(word, MAX_SHOWN_CHARACTERS)
            raise UsageError(f"{flag} is for a document, and --file {shown} is not one.", advice=NOTHING_SENT)
        key = flag.removeprefix("--file-")
        parts = [part if isinstance(part, Text) else {**part, key: text} for part in made[0].parts]
        made = [replace(made[0], parts=parts)]
    return made


def _word_pieces(word: str, wanted: _Wanted) -> Iterator[Piece]:
    """The pieces for one word after the flag: an expression, URL, path, variable or glob pattern."""
    if word.startswith("{{") and word.endswith("}}"):
        source = word[2:-2].strip()
        yield from _value_pieces(expressions.value_of(source, wanted.namespace, wanted.flag), source, wanted)
    elif _is_remote(word):
        yield from _remote_pieces(word, wanted)
    elif _is_file(word):
        yield _of_path(Path(word), wanted)
    elif word.isidentifier() and word in wanted.namespace:
        yield from _value_pieces(wanted.namespace[word], word, wanted)
    elif _PATTERN.search(word):
        yield from _pattern_pieces(word, wanted)
    elif try_or_none(Path(word).expanduser().exists):
        yield _of_path(Path(word), wanted)  # a folder or device: `of_path` refuses it with the reason
    else:
        raise UsageError(
            f"{wanted.flag} {short(word, MAX_SHOWN_CHARACTERS)}: there is no such file, and no such variable"
            f"{places(wanted.namespace)}.",
            advice=f"{_guess(word, wanted.namespace)}{NOTHING_SENT}",
        )


def _pattern_pieces(pattern: str, wanted: _Wanted) -> Iterator[Piece]:
    try:
        matches = sorted(glob.glob(str(Path(pattern).expanduser()), recursive=True))
    except (OSError, ValueError, RuntimeError, re.error):
        matches = []
    files = [Path(name) for name in matches if Path(name).is_file()]
    if not files:
        raise UsageError(f"{wanted.flag} {pattern}: no file matches.", advice=NOTHING_SENT)
    if len(files) > MAX_ATTACHMENTS:
        raise UsageError(f"{wanted.flag} {pattern}: {len(files):,} files match, and a request takes {MAX_ATTACHMENTS}.")
    for path in files:
        yield _of_path(path, wanted)


def _of_path(path: Path, wanted: _Wanted) -> Piece:
    return _piece(of_path(path), path.name, wanted)


def _value_pieces(value: Any, name: str, wanted: _Wanted) -> Iterator[Piece]:
    """The pieces for a variable's value: a path or URL is read or fetched, any other value is shown as in `{{…}}`."""
    if isinstance(value, Path):
        yield _of_path(value, wanted)
    elif isinstance(value, str):
        yield from _text_pieces(value, name, wanted)
    elif isinstance(value, list | tuple) and value and (wanted.image or all(map(_stands_for_file, value))):
        if len(value) > MAX_ATTACHMENTS:
            raise UsageError(f"{name} has {len(value):,} elements, and a request takes {MAX_ATTACHMENTS} attachments.")
        if any(isinstance(each, list | tuple) for each in value):  # a list may contain itself
            raise UsageError(f"{wanted.flag} {name}: a list in a list is no image.", advice=NOTHING_SENT)
        for position, each in enumerate(value):
            yield from _value_pieces(each, f"{name}[{position}]", wanted)
    elif (data := _bytes_of(value)) is not None:
        yield _piece(of_data(data, name), name, wanted)
    else:
        yield _piece(Attachment(_shown(value, name, wanted)), name, wanted)


def _stands_for_file(value: Any) -> bool:
    return isinstance(value, str | Path | bytes)


def _text_pieces(text: str, name: str, wanted: _Wanted) -> Iterator[Piece]:
    if _is_remote(text):
        yield from _remote_pieces(text, wanted)
    elif _is_file(text):
        yield _of_path(Path(text), wanted)
    elif not wanted.image and re.search(r"\s", text.strip()):
        yield _piece(of_data(text.encode("utf-8", "replace"), name), name, wanted)
    else:
        raise UsageError(
            f"{wanted.flag} {name}: there is no file {short(text, MAX_SHOWN_CHARACTERS)!r}.",
            advice=f"As text it goes into the prompt: {{{{{name}}}}}. {NOTHING_SENT}",
        )


def _bytes_of(value: Any) -> bytes | None:
    """The bytes of a bytes-like value or of an `io.BytesIO`; None for any other value."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    held = try_or_none(value.getbuffer) if hasattr(value, "getvalue") and hasattr(value, "getbuffer") else None
    return None if held is None else bytes(held)


def _shown(value: Any, name: str, wanted: _Wanted) -> list[images.Block]:
    """The content blocks that `{{…}}` would show for a value; with `--image`, a NumPy array is taken as pixels."""
    if wanted.image and is_from_library(value, "numpy") and hasattr(value, "shape"):
        from PIL import Image

        picture = try_or_none(lambda: Image.fromarray(value))
        value = value if picture is None else picture
    called = name if name.isidentifier() else "value"
    return prompt.prompt_content(f"{{{{{called}}}}}", {called: value})


def _is_address(word: str) -> bool:
    return word.lower().startswith(("http://", "https://"))


def _is_remote(word: str) -> bool:
    return word[:5].lower() == "data:" or _SCHEME.match(word) is not None


def _is_file(word: str) -> bool:
    return bool(try_or_none(lambda: Path(word).expanduser().is_file()))


def _remote_pieces(url: str, wanted: _Wanted) -> Iterator[Piece]:
    if url[:5].lower() == "data:":
        yield _of_data_url(url, wanted)
        return
    if not _is_address(url):
        scheme = url.partition("://")[0]
        raise UsageError(
            f"{wanted.flag} takes http, https and data addresses, not {short(scheme, 20)}.", advice=NOTHING_SENT
        )
    _check_address(url, wanted)
    if wanted.by_url:
        yield _by_url(url, wanted)
        return
    received = lookups.fetch(url, MAX_FILE_BYTES)
    made = of_data(received.data, received.name)
    _check_type(made, received, url)
    yield _piece(made, received.name, wanted)


def _check_address(url: str, wanted: _Wanted) -> None:
    """Raise `UsageError` for an invalid URL, or one with a credential, which the conversation would keep."""
    parts: Any = try_or_none(lambda: (urlsplit(url), urlsplit(url).port))
    if parts is None or not parts[0].hostname or not url.isprintable():
        raise UsageError(f"{wanted.flag}: this is no address.", advice=NOTHING_SENT)
    if "@" in parts[0].netloc:
        raise UsageError(
            f"{wanted.flag}: the address holds a user's name or password, which the notebook would keep.",
            advice=f"Fetch it in a cell of its own, and name the variable. {NOTHING_SENT}",
        )
    if wanted.by_url and CREDENTIAL.search(f"?{parts[0].query}"):
        raise UsageError(
            "--by-url: the address holds a key or signature, which the conversation would keep.",
            advice=f"Without --by-url it is fetched here, and only its bytes go along. {NOTHING_SENT}",
        )


def _check_type(made: Attachment, received: lookups.Fetched, url: str) -> None:
    """Raise `UsageError` if the server declares an image or a PDF and the bytes are something else."""
    kind = _kind(made)
    if (received.media_type.startswith("image/") and kind != "image") or (
        received.media_type == "application/pdf" and kind != "PDF"
    ):
        raise UsageError(
            f"{shown_address(url)} came as {received.media_type}, but its bytes are something else.",
            advice=NOTHING_SENT,
        )


def _by_url(url: str, wanted: _Wanted) -> Piece:
    name = lookups.name_in(url)
    source = {"type": "url", "url": url}
    if wanted.image or _IMAGE_NAME.search(urlsplit(url).path):
        return Piece(name, "image, by its address", [{"type": "image", "source": source}])
    return Piece(name, "PDF, by its address", [{"type": "document", "source": source, "title": name}])


def _of_data_url(url: str, wanted: _Wanted) -> Piece:
    """The piece for a data URL (RFC 2397): `data:[type][;base64],data`."""
    head, comma, body = url[5:].partition(",")
    try:
        data = unquote_to_bytes(body)
        if head.lower().endswith(";base64"):
            data = base64.b64decode(b"".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        comma = ""
    if not comma:
        raise UsageError(f"{wanted.flag}: the data URL is damaged.", advice=NOTHING_SENT)
    name = "data URL"
    return _piece(of_data(data, name), name, wanted)


def _piece(made: Attachment, name: str, wanted: _Wanted) -> Piece:
    kind = _kind(made)
    if wanted.image and kind != "image":
        raise PromptError(f"{name} is no image.", advice=f"--file takes it. {NOTHING_SENT}")
    return Piece(", ".join([name, *made.about]), kind, made.content)


def _kind(made: Attachment) -> str:
    if {block["type"] for block in made.content} == {"image"}:
        return "image"
    sources = [block["source"]["type"] for block in made.content if block["type"] == "document"]
    return "PDF" if "base64" in sources else "file"


def _guess(word: str, namespace: Mapping[str, Any]) -> str:
    """A hint with the closest name among files in the same folder and the reader's own variables; else empty."""
    variables = [name for name in namespace if name.isidentifier() and name[:1] != "_" and name not in IPYTHON_NAMES]
    known = [*(try_or_none(lambda: _sibling_names(word)) or []), *(variables if "/" not in word else [])]
    near = difflib.get_close_matches(Path(word).name, known, n=1)
    return f"Did you mean {near[0]!r}? " if near else ""


def _sibling_names(word: str) -> list[str]:
    return [each.name for each in Path(word).expanduser().parent.iterdir()]
