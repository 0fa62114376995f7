"""An answer as Claude writes them: prose, code, a table, a list and math, in pieces of a token's size."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator

_SECTION = """\
## {number}. What the model learns from `rows[{number}]`

The quick answer is that **each column carries its own weight**, and the weights *change* as the data \
grow: with {number} rows the estimate costs $5 or less, see [the manual](https://example.org/{number}).

- Split the frame first, so that nothing of the test set leaks into training.
- Scale what is left; `mean < 0.5` is a warning, not an error.
  1. A nested step with $x_{number}^2$ in it.

```python
def fit(frame, steps={number}):
    for step in range(steps):
        yield frame.sample(frac=0.5).mean() if step < 3 else None
```

| model | rows | error |
|---|---:|---:|
| linear | {number} | 0.31 |
| forest | {number}0 | 0.12 |

> A remark to keep: the error is *relative*, not absolute.

"""


def text(characters: int) -> str:
    """So many characters of Markdown, always the same."""
    sections = (_SECTION.replace("{number}", str(number)) for number in itertools.count(1))
    grown = ""
    while len(grown) < characters:
        grown += next(sections)
    return grown[:characters]


def pieces(count: int) -> list[str]:
    """So many text deltas: a word or a part of one each, four characters on average."""
    sizes = random.Random(count)
    return list(itertools.islice(_cut(sizes), count))


def _cut(sizes: random.Random) -> Iterator[str]:
    for number in itertools.count(1):
        for word in re.findall(r"\s*\S+\s*?", _SECTION.replace("{number}", str(number))):
            while word:
                size = sizes.randint(3, 8)
                yield word[:size]
                word = word[size:]
        yield "\n\n"
