"""Encodings are told or asked for, not guessed in silence."""

from __future__ import annotations

import pytest

from claude_magic.errors import PromptError
from claude_magic.prompt.values.files import of_data
from claude_magic.prompt.values.formats.encodings import decoded

TEXT = "Größe,Wert\nä,1\nfünf,2\n"


@pytest.mark.parametrize(
    ("encoding", "told"),
    [
        ("utf-8", []),
        ("utf-8-sig", []),
        ("utf-16", ["read as UTF-16"]),
        ("utf-32", ["read as UTF-32"]),
        ("utf-16-le", ["read as UTF-16-LE"]),
        ("utf-16-be", ["read as UTF-16-BE"]),
        ("cp1252", ["read as Windows-1252"]),
    ],
)
def test_an_encoding_is_known_and_told(encoding: str, told: list[str]) -> None:
    made = of_data(TEXT.encode(encoding), "a.csv")
    assert made.content[0]["source"]["data"].endswith(f"The whole file:\n{TEXT}")
    assert made.about[1:-1] == told
    assert of_data(TEXT.encode(encoding), "a.txt").about[:-1] == told


def test_one_damaged_byte_does_not_change_the_encoding() -> None:
    found = decoded("äöüéè".encode() * 3 + b"\xff.")
    assert found is not None and found.text == "äöüéè" * 3 + "\ufffd."
    assert found.encoding == "UTF-8 in which 1 byte cannot be read"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("名前,値\n東京,1\n大阪,2\n", "shift_jis"),
        ("имя,знач\nМосква,1\n", "cp1251"),
        ("имя,знач\nМосква,1\n", "koi8_r"),
        ("城市,值\n北京,1\n上海,2\n", "gb18030"),
    ],
)
@pytest.mark.parametrize("name", ["a.csv", "a.txt"])
def test_another_encoding_is_asked_for(text: str, encoding: str, name: str) -> None:
    with pytest.raises(PromptError) as caught:
        of_data(text.encode(encoding), name)
    assert "its encoding cannot be told" in str(caught.value) and f"open('{name}', encoding=" in str(caught.value)


def test_a_table_with_a_control_character_says_where_it_is() -> None:
    with pytest.raises(PromptError, match="cannot be read as a table: there is a NUL byte at position 7"):
        of_data(b"a,b\n1,x\0y\n2,z\n", "a.csv")


@pytest.mark.parametrize("data", [b"\x1f\x8b\x08\x00", bytes(range(256)), b"\x01\x00\x02\x00\x03\x00", b"\0" * 100])
def test_binary_data_is_no_text(data: bytes) -> None:
    assert decoded(data) is None
