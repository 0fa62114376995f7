"""Secrets in text that is a table are masked by their column's name, and the rest stays as it is."""

from __future__ import annotations

from pathlib import Path

import pandas
import pytest

from claude_magic.content.parts import Limits
from claude_magic.content.secrets import MASK, Secrets
from claude_magic.prompt import prompt
from support.prompt_blocks import text


@pytest.mark.parametrize(
    ("table", "masked"),
    [
        ("user,password\nbob,hunter2\namy,\n", f"user,password\nbob,{MASK}\namy,\n"),
        ('n,api_key,m\r\n1,"a,""b",2\r\n', f'n,api_key,m\r\n1,"{MASK}",2\r\n'),
        ("a;client_secret\n1;xyz\nno more\n1;2\n", f"a;client_secret\n1;{MASK}\nno more\n1;2\n"),
        ("user\tpassword\nbob\thunter2", f"user\tpassword\nbob\t{MASK}"),
        (
            "| user | password |\n|:---|---|\n| bob | hunter2 |\n",
            f"| user | password |\n|:---|---|\n| bob | {MASK} |\n",
        ),
        (",user,password\n0,bob,hunter2\n", f",user,password\n0,bob,{MASK}\n"),
        ("password | str | 0 | distinct 2, top hunter2 (3)\n", f"password | str | 0 | {MASK}\n"),
    ],
)
def test_what_stands_below_a_secret_name_is_masked(table: str, masked: str) -> None:
    assert Secrets().masked(table)[0] == masked
    assert Secrets(allowed=True).masked(table) == (table, 0)


@pytest.mark.parametrize(
    "prose",
    [
        "Dear all, the password, as you know, is secret, yes\nso, be, it, all, r\n",
        "trust, secret\nlove, joy\n",
        "  My password is long.\nSo it is as it is....\n  Its secret\nis another.\n",
        "column | type\npassword | String\nn | Int64\n",
        "user,max_tokens\nbob,5\n",
    ],
)
def test_what_is_no_table_of_secrets_stays(prose: str) -> None:
    assert Secrets().masked(prose) == (prose, 0)


def test_code_is_no_table() -> None:
    code = "user,password=ask()\nname,password\nbob,amy\n"
    assert Secrets().masked(code, is_code=True) == (code, 0)


def test_a_csv_file_keeps_its_secret_column_to_itself(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("user,password\nbob,hunter2\namy,hunter2\neve,xyzzy\n")
    (block,) = prompt.parts_of(tmp_path / "users.csv", "path", Secrets(), Limits())
    assert isinstance(block, dict)
    assert "hunter2" not in str(block) and "xyzzy" not in str(block)
    assert "\neve," in block["source"]["data"]


@pytest.mark.parametrize("index", [None, pandas.Index(["x", "yy"], name="who")])
def test_a_frame_as_pandas_prints_it_keeps_its_secrets(index: pandas.Index | None) -> None:
    frame = pandas.DataFrame({"user": ["bob", "amy"], "password": ["hunter2", "a long one"], "n": [1, 2]}, index=index)
    masked, count = Secrets().masked(repr(frame))
    assert count == 2
    assert masked == repr(frame).replace("hunter2", MASK).replace("a long one", MASK)


def test_a_row_by_itself_has_no_secret_in_it() -> None:
    frame = pandas.DataFrame({"user": ["bob"], "password": ["hunter2"], "n": [7]})
    assert f"user,bob\npassword,{MASK}\nn,7" in text("{{row}}", row=frame.iloc[0])
    assert f"password,{MASK}" in text("{{turned}}", turned=frame.T)
    assert frame.iloc[0]["password"] == "hunter2"
