"""The page count of a PDF, and whether it is encrypted: all that the API's limits ask for.

This is no full PDF reader (ISO 32000-2, §7.5 and §7.7): where the page tree is not found, the number of pages is
unknown, and the API decides.
"""

from __future__ import annotations

import functools
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

# A PDF may begin with something else, as the API and most readers allow.
HEADER = b"%PDF-"
HEADER_WITHIN_BYTES = 1_024
# What is unpacked at most to find the page tree: a stranger's file can hold a bomb.
MAX_UNPACKED_BYTES = 50_000_000
# The root of a page tree of 600 pages, all of them in one list, has half of that.
_OBJECT_BYTES = 20_000
MAX_STREAMS = 10_000

_ROOT = re.compile(rb"/Root\s+(\d+)\s+\d+\s+R")
_PAGES = re.compile(rb"/Pages\s+(\d+)\s+\d+\s+R")
_COUNT = re.compile(rb"/Count\s+(\d{1,9})(?:\s+(\d+)\s+R)?")
_STREAM = re.compile(rb"/ObjStm\b.{0,400}?stream\r?\n", re.DOTALL)
_ENCRYPTED = re.compile(rb"/Encrypt\s+(?:\d+\s+\d+\s+R|<<)")


@dataclass(frozen=True)
class Look:
    """What there is to know of a PDF; `pages` is `None` where they cannot be counted."""

    pages: int | None
    encrypted: bool


def is_pdf(data: bytes) -> bool:
    """Whether these bytes say that they are a PDF."""
    return HEADER in data[:HEADER_WITHIN_BYTES]


def look(data: bytes) -> Look:
    """Count a PDF's pages by its page tree's root."""
    encrypted = _ENCRYPTED.search(data) is not None
    roots = _ROOT.findall(data)
    unpacked = _Objects(data)
    catalog = unpacked.find(roots[-1]) if roots else None
    tree = _PAGES.search(catalog) if catalog else None
    pages = unpacked.find(tree[1]) if tree else None
    return Look(unpacked.count(pages) if pages else None, encrypted)


class _Objects:
    """The objects of a PDF by number: the last one of a number holds, as each change is written behind the rest."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def find(self, number: bytes) -> bytes | None:
        """An object's text, as far as it can be a dictionary of ours."""
        starts = [found.end() for found in re.finditer(rb"(?<!\d)%s\s+\d+\s+obj\b" % number, self._data)]
        if starts:
            end = self._data.find(b"endobj", starts[-1], starts[-1] + _OBJECT_BYTES)
            return self._data[starts[-1] : end] if end >= 0 else None
        return self._packed.get(int(number))

    def count(self, pages: bytes) -> int | None:
        """The number of pages that the root of the tree gives, itself or by an object of its own."""
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
        """What stands in object streams (§7.5.7): pairs of number and place, then the objects."""
        return {number: text for stream in _unpacked(self._data) for number, text in _in_stream(stream)}


def _without_inner(dictionary: bytes) -> bytes:
    """A dictionary without the dictionaries in it, which may have a count of their own."""
    outer = dictionary.strip().removeprefix(b"<<")
    return re.sub(rb"<<[^<>]*>>", b"", outer)


def _unpacked(data: bytes) -> Iterator[bytes]:
    left = MAX_UNPACKED_BYTES
    for number, found in enumerate(_STREAM.finditer(data)):
        if left <= 0 or number >= MAX_STREAMS:
            return
        try:
            text = zlib.decompressobj().decompress(memoryview(data)[found.end() :], left)
        except zlib.error:  # encrypted, or packed in another way
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
        # Where the first object stands is said in the stream's own dictionary: it is what follows the pairs.
        first = opening.end()
        yield number, stream[first + start : None if end is None else first + end]
