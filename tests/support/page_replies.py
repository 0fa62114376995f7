"""A reply in a page: its content, and what a reader should see of it, live and reopened."""

from __future__ import annotations

import re

from support.jupyterlab import Page, clean
from support.steered_server import KEY

NO_PANEL = "%config ClaudeMagic.panel = False"
THOUGHT = "I look at the question before I answer it."
# Events that come before the middle of `REPLY`'s text: message and block starts, a ping, the thinking.
HALF = 30
REPLY = r"""Alpha: the reply begins.

| column | mean |
|---|---|
| height | 1.5 |

Euler found $e^{i\pi} + 1 = 0$; it costs $5 and not $10.

```python
def area(radius):
    return 3.14159 * radius**2  # not "$5"
```

Omega: the reply ends."""
THINKING = {"type": "thinking", "thinking": THOUGHT}
CONTENT = [THINKING, {"type": "text", "text": REPLY}]
WIDGET_TROUBLE = ("model not found", "Loading widget", "Error displaying widget")


def whole(page: Page) -> None:
    """The header, and all of `REPLY` as a reader should see it."""
    page.wait_until("bed.area(1).querySelectorAll('mjx-container').length === 1")
    page.wait_until("bed.area(1).querySelector('pre span[style]')")
    shown = page.text(1)
    assert "Omega: the reply ends." in shown and "$5 and not $10" in shown
    header = shown.splitlines()[0]
    assert re.search(r"claude-opus-\S+ · [\d,]+ tokens in → [\d,]+ out · \$0\.\d+ · [\d.]+ s", header), header
    assert page.value("[...bed.area(1).querySelectorAll('td')].map(cell => cell.innerText)") == ["height", "1.5"]
    assert 'return 3.14159 * radius**2  # not "$5"' in shown
    nothing_strange(page)


def nothing_strange(page: Page) -> None:
    """No widget is missing, nothing failed in the page, nothing left it."""
    page.settle()
    shown = page.tab.locator("body").inner_text()
    assert not [trouble for trouble in WIDGET_TROUBLE if trouble in shown]
    assert clean(page)


def clean_file(page: Page) -> None:
    """The saved notebook is valid and plain: no widget view, no widget state, no key."""
    notebook = page.lab.read(page.name)
    assert "widgets" not in notebook.metadata
    raw = (page.lab.folder / page.name).read_text(encoding="utf-8")
    assert "application/vnd.jupyter.widget-view+json" not in raw
    assert KEY not in raw
