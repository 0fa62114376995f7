"""PDFs of so many pages."""

from __future__ import annotations

import io
import zlib

from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure


def pdf_of(pages: int) -> bytes:
    buffer = io.BytesIO()
    with PdfPages(buffer) as book:
        for _ in range(pages):
            book.savefig(Figure(figsize=(1, 1)))
    return buffer.getvalue()


def packed_pdf(pages: int) -> bytes:
    """As newer programs write them: the page tree in an object stream, its count in an object of its own."""
    objects = [
        (1, b"<</Type/Catalog/Pages 2 0 R>>"),
        (2, b"<</Type/Pages/Kids[]/Count 3 0 R>>"),
        (3, b"%d" % pages),
    ]
    pairs, body = b"", b""
    for number, text in objects:
        pairs += b"%d %d " % (number, len(body))
        body += text + b" "
    stream = zlib.compress(pairs + body)
    opening = b"<</Type/ObjStm/N 3/First %d/Filter/FlateDecode/Length %d>>stream\n" % (len(pairs), len(stream))
    return b"%PDF-1.7\n9 0 obj\n" + opening + stream + b"\nendstream\nendobj\ntrailer<</Root 1 0 R>>\n%%EOF"
