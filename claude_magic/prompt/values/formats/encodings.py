"""Bytes → text: UTF-8, UTF-16 and UTF-32 are known by their bytes, Windows-1252 is assumed, others are asked for."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from ....content.text import plural

# Control characters that mark binary data: all but tab, line and page breaks, backspace, bell and escape.
_BINARY = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f\x7f]")
_BINARY_TEXT = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ufffd-\uffff]")
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_SAMPLE_BYTES = 200_000
_MULTIBYTE = re.compile(rb"[\xc2-\xf4][\x80-\xbf]+")
_HIGH = re.compile(rb"[\x80-\xff]+")
_UNDEFINED = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")  # in Windows-1252
MIN_HIGH_BYTES = 8


@dataclass(frozen=True)
class Decoded:
    """A text, and what it was read as, to be told (empty for UTF-8). It is not `certain` if another fits better."""

    text: str
    encoding: str = ""
    certain: bool = True


def decoded(data: bytes, *, cut: bool = False) -> Decoded | None:
    """Decode bytes as text; None for binary data. With `cut`, the last character may be incomplete."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            told = "" if encoding == "utf-8-sig" else encoding.upper()
            return Decoded(data.decode(encoding, "replace").replace("\0", ""), told)
    if _BINARY.search(data):
        return _wide(data)
    try:
        return Decoded(codecs.getincrementaldecoder("utf-8")().decode(data, final=not cut))
    except UnicodeDecodeError:
        pass
    damaged = data.decode("utf-8", "replace")
    wrong = damaged.count("\ufffd")
    if wrong * 10 <= len(_MULTIBYTE.findall(data)):
        return Decoded(damaged, f"UTF-8 in which {plural(wrong, 'byte')} cannot be read")
    return Decoded(data.decode("cp1252", "replace"), "Windows-1252", certain=_is_western(data))


def _wide(data: bytes) -> Decoded | None:
    """UTF-16 without a byte order mark, known by the zero bytes beside its Latin letters; else None."""
    sample = data[: min(len(data), _SAMPLE_BYTES) // 2 * 2]
    zeros = [sample[first::2].count(0) / max(1, len(sample) // 2) for first in (0, 1)]
    for encoding, own, other in (("UTF-16-LE", zeros[1], zeros[0]), ("UTF-16-BE", zeros[0], zeros[1])):
        if own > 0.4 and other < 0.05:
            text = data.decode(encoding, "replace")
            return None if _BINARY_TEXT.search(text) else Decoded(text, encoding)
    return None


def _is_western(data: bytes) -> bool:
    """Whether bytes may be Windows-1252: its letters beyond ASCII stand alone, those of other scripts side by side."""
    if _UNDEFINED.search(data):
        return False
    runs = [len(run) for run in _HIGH.findall(data[:_SAMPLE_BYTES])]
    beside = sum(length for length in runs if length > 1)
    return sum(runs) < MIN_HIGH_BYTES or beside * 2 <= sum(runs)


def why_binary(data: bytes) -> str:
    """Where bytes are no text, in words."""
    found = _BINARY.search(data)
    if found is None:
        return "it is no text"
    what = "a NUL byte" if found[0] == b"\0" else f"the control character 0x{found[0][0]:02X}"
    return f"there is {what} at position {found.start():,}"
