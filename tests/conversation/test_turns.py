"""The order of turns: as their cells stand and first ran."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from claude_magic.conversation.turns import Conversation, Turn

CELLS = [f"c{number}" for number in range(8)]
ORDER = {cell: number for number, cell in enumerate(CELLS)}


def turn_of(cell: str) -> Turn:
    return Turn(f"turn of {cell}", ({"role": "user", "content": "?"},), (), cell_id=cell)


@given(st.permutations(CELLS), st.sets(st.sampled_from(CELLS)))
def test_turns_that_come_back_late_stand_where_their_cells_stand(late: list[str], deleted: set[str]) -> None:
    """However many have come back before, and in whatever order."""
    chat = Conversation()
    for cell in late:
        chat = chat.seated(turn_of(cell), ORDER)
    assert [turn.cell_id for turn in chat] == CELLS
    stays = chat.without(deleted)
    for cell in late:
        if cell in deleted:
            stays = stays.seated(turn_of(cell), ORDER)
    assert stays == chat


@given(st.permutations(CELLS))
def test_a_cell_that_is_not_in_the_notebook_comes_last(late: list[str]) -> None:
    known = {cell: number for cell, number in ORDER.items() if number < 6}
    chat = Conversation()
    for cell in late:
        chat = chat.seated(turn_of(cell), known)
    assert [turn.cell_id for turn in chat if turn.cell_id in known] == CELLS[:6]
