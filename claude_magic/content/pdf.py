"""The page count of a PDF, and whether it is encrypted: the facts that the API's limits need.

Not a full PDF reader (ISO 32000-2, §7.5 and §7.7): if the page tree is not found, the page count is unknown, and the
API decides.
"""

from __future__ import annotations

import functools
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

# Other bytes may stand before the header, as the API and most PDF readers allow.
HEADER = b"%PDF-"
HEADER_WITHIN_BYTES = 1_024
# The limit for decompressing, since a file may be a decompression bomb.
MAX_UNPACKED_BYTES = 50_000_000
# Twice the size of a page tree's root with 600 pages in one list.
_OBJECT_BYTES = 20_000
MAX_STREAMS = 10_000

_ROOT = re.compile(rb"/Root\s+(\d+)\s+\d+\s+R")
_PAGES = re.compile(rb"/Pages\s+(\d+)\s+\d+\s+R")
_COUNT = re.compile(rb"/Count\s+(\d{1,9})(?:\s+(\d+)\s+R)?")
_STREAM = re.compile(rb"/ObjStm\b.{0,400}?stream\r?\n", re.DOTALL)
_ENCRYPTED = re.compile(rb"/Encrypt\s+(?:\d+\s+\d+\s+R|<<)")


@dataclass(frozen=True)
class Look:
    """The facts of a PDF; `pages` is None if they cannot be counted."""

    pages: int | None
    encrypted: bool


def is_pdf(data: bytes) -> bool:
    """Whether bytes have a PDF header within the first `HEADER_WITHIN_BYTES`."""
    return HEADER in data[:HEADER_WITHIN_BYTES]


def look(data: bytes) -> Look:
    """Read a PDF's page count from the root of its page tree, and whether it is encrypted."""
    encrypted = _ENCRYPTED.search(data) is not None
    roots = _ROOT.findall(data)
    unpacked = _Objects(data)
    catalog = unpacked.find(roots[-1]) if roots else None
    tree = _PAGES.search(catalog) if catalog else None
    pages = unpacked.find(tree[1]) if tree else None
    return Look(unpacked.count(pages) if pages else None, encrypted)


class _Objects:
    """The objects of a PDF by number; of several with one number the last counts, since changes are appended."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def find(self, number: bytes) -> bytes | None:
        """The source of an object, or None if there is none; one longer than `_OBJECT_BYTES` is not searched for."""
        starts = [found.end() for found in re.finditer(rb"(?<!\d)%s\s+\d+\s+obj\b" % number, self._data)]
        if starts:
            end = self._data.find(b"endobj", starts[-1], starts[-1] + _OBJECT_BYTES)
            return self._data[starts[-1] : end] if end >= 0 else None
        return self._packed.get(int(number))

    def count(self, pages: bytes) -> int | None:
        """The `/Count` of a page tree's root, given as a number or as a reference to one."""
        found = _COUNT.findall(_without_inner(pages))
        if not found:
            return None
        number, is_reference = found[-1]
        if not is_reference:
            return int(number)
        held = re.match(rb"\s*(\d{1,9})", self.find(number) or b"")
        return int(held[1]) if held else None

    @functools.cached_property
    def _packed(self) -> dict[int, bytes]:
        """The objects in object streams (§7.5.7) by number."""
        return {number: text for stream in _unpacked(self._data) for number, text in _in_stream(stream)}


def _without_inner(dictionary: bytes) -> bytes:
    """A dictionary without its inner dictionaries, which may have a `/Count` of their own."""
    outer = dictionary.strip().removeprefix(b"<<")
    return re.sub(rb"<<[^<>]*>>", b"", outer)


def _unpacked(data: bytes) -> Iterator[bytes]:
    left = MAX_UNPACKED_BYTES
    for number, found in enumerate(_STREAM.finditer(data)):
        if left <= 0 or number >= MAX_STREAMS:
            return
        try:
            text = zlib.decompressobj().decompress(memoryview(data)[found.end() :], left)
        except zlib.error:  # encrypted, or another compression
            continue
        left -= len(text)
        yield text


def _in_stream(stream: bytes) -> Iterator[tuple[int, bytes]]:
    opening = re.match(rb"\s*(?:\d+\s+\d+\s+)+", stream)
    if opening is None:
        return
    numbers = [int(number) for number in opening[0].split()]
    places = numbers[1::2]
    for number, start, end in zip(numbers[::2], places, [*places[1:], None], strict=False):
        # The offsets count from the first object, which follows the pairs of number and offset.
        first = opening.end()
        yield number, stream[first + start : None if end is None else first + end]
