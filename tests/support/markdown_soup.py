"""Odd Markdown for tests: fragments thrown together, and texts put into every kind of block."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

AROUND: dict[str, Callable[[str], str]] = {
    "list": lambda text: "- a\n- " + text.replace("\n", "\n  ") + "\n- b",
    "ordered list": lambda text: "10. " + text.replace("\n", "\n    "),
    "lazy list": lambda text: "- " + text,
    "quote": lambda text: "> " + text.replace("\n", "\n> "),
    "lazy quote": lambda text: "> > " + text,
    "quote in list": lambda text: "- > " + text.replace("\n", "\n  > "),
    "table": lambda text: "| a | b |\n|---|---|\n| " + text.replace("\n", " ") + " | x |",
    "code span": lambda text: f"`{text}`",
    "ticks": lambda text: f"`` {text} ``",
    "fence": lambda text: f"```x\n{text}\n```",
    "fence in list": lambda text: "- ```\n  " + text.replace("\n", "\n  ") + "\n  ```\n" + text,
    "heading": lambda text: "# " + text.replace("\n", " "),
    "emphasis": lambda text: f"**a {text} *b*** _c_",
    "label": lambda text: f"[{text}](http://evil.invalid/)",
    "math": lambda text: f"$a {text} b$ $$\n{text}\n$$",
    "dollars": lambda text: f"`$` {text} `$`\n- ```\n  $\n  ```\n- {text}",
    "after an open fence": lambda text: f"- ```\n{text}",
    "indented": lambda text: "    " + text.replace("\n", "\n    "),
    "footnote": lambda text: f"x[^1]\n\n[^1]: {text}",
    "task": lambda text: f"- [x] {text}",
}

_FRAGMENTS = (
    "\n \n\n|\t|    |  |- |1. |> |# |* |+ |```|````|~~~|`|``|\\|\\\\|*|**|_|__|~~|[|]|(|)|](|![|[x]|: |]: |<|>|</|<b"
    "|<img src=x onerror=x>"
    "|<script>|</script>|<!--|-->|<?|<![CDATA[|&|&lt;|&#60;|&#10;|&Tab;|&colon;|\"|'|=|$|$$|\\(|\\)|\\[|\\]|\\\\(|\\\\)|\\begin{a}|\\end{a}"
    "|{|}|\\href{javascript:x}{y}|@@0@@|@@|@|0|javascript:|JAVASCRIPT&colon;|data:|[^1]|[^1]: |[ ] |{\ufdd01}|\ufdd0"
    "|http://evil.invalid|www.a.b|a@b.c|mailto:|#|a|b c|x|.|!|:|「|」|語"
    "|---|===|:-:|\n---\n|\r|\r\n|\x0b|\x0c|\u2028|\u2029|\u00a0|\u3000|\ufeff|\u200b|\u202e|\x00|\x85|mermaid|python|%%{|é|😀|\ud83d"
)
FRAGMENTS = [*_FRAGMENTS.split("|"), "|"]
SOUP = st.lists(st.one_of(st.sampled_from([*FRAGMENTS, "\n", "\n", "`", "$"]), st.characters()), max_size=40).map(
    "".join
)
