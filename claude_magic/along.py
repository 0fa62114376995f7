"""What went along with a prompt, in words: on the header's line where it is little, folded away where it is more."""

from __future__ import annotations

from collections.abc import Sequence

from .conversation import Along

MAX_ATTACHED_ON_LINE = 3
ATTACHED_TITLE = "Went along"


def attached_line(along: Sequence[Along]) -> str:
    """A short text for a line: the names, or how many there are. Nothing, where nothing went along."""
    if not along:
        return ""
    if len(along) <= MAX_ATTACHED_ON_LINE:
        return "with " + ", ".join(f"{_name(each)} (≈{_tokens(each.tokens)})" for each in along)
    return f"with {len(along)} things (≈{_tokens(sum(each.tokens for each in along))})"


def attached_list(along: Sequence[Along]) -> str:
    """A line for each thing, where there are too many for the header's line; else nothing."""
    if len(along) <= MAX_ATTACHED_ON_LINE:
        return ""
    return "\n".join(f"{_name(each)}: {each.kind}, ≈{_tokens(each.tokens)}{_masked(each)}" for each in along)


def masked_secrets(along: Sequence[Along]) -> str:
    """How many secrets were masked, and where; nothing, where none was."""
    count = sum(each.masked for each in along)
    if not count:
        return ""
    names = [_name(each) for each in along if each.masked]
    where = ", ".join(names[:MAX_ATTACHED_ON_LINE]) + (
        f" and {len(names) - MAX_ATTACHED_ON_LINE} more" * (len(names) > MAX_ATTACHED_ON_LINE)
    )
    return f"{count} {'secret' if count == 1 else 'secrets'} masked in {where}"


def _name(each: Along) -> str:
    """A name on one line: one from a stranger's file may have several."""
    return " ".join(each.name.split())


def _masked(each: Along) -> str:
    return f", {masked_secrets([each]).partition(' in ')[0]}" if each.masked else ""


def _tokens(count: int) -> str:
    return f"{count:,} {'token' if count == 1 else 'tokens'}"
