"""What goes along with a prompt besides what the reader typed, piece by piece.

Whatever adds something to a prompt (an option, an attachment) makes a `Piece` of it and gives it to `build_prompt`,
which masks the secrets in it, puts it before the text, and lists it by name and tokens in the turn (`Turn.along`), in
the cell's header, in `--count` and in exports. A value in the text, `{{expr}}`, becomes a piece at its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .parts import Part


@dataclass(frozen=True)
class Piece:
    """One thing that goes along.

    `name` is what the header calls it (`sales`, `cell [3]`, `plot.png`), `kind` what it is in a word or two (`value`,
    `cell`, `image`, `file`, `error`, `code`); `parts` are sent in their order. `masked` is how many secrets were masked
    in them already.
    """

    name: str
    kind: str
    parts: Sequence[Part]
    masked: int = 0
