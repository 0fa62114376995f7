"""Secrets in text that is a table are masked by their column's name, and the rest stays as it is."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import polars
import pyarrow
import pytest

from claude_magic.content.parts import Limits
from claude_magic.content.secret_names import is_secret_column
from claude_magic.content.secrets import MASK, Secrets, known_secrets, shown_columns
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


KEYS = ["".join(random.Random(seed).choices(string.ascii_letters + string.digits, k=24)) for seed in range(5)]
PASSWORDS = ["hunter2", "Tr0ub4dor&3", "s3cret!", "pa$$w0rd", "letmein99"]
PLAIN = {
    "words": ["the", "cat", "sat", "on", "mat"],
    "tokens of a text": ["Hello", "world", "!", "don't", "covid-19", "2019", "U.S.", "##ing", "$5", "café", "的"],
    "licences": ["MIT", "GPL-3.0", "Apache-2.0", "BSD-3-Clause", "CC-BY-4.0"],
    "degrees": ["MD", "PhD", "RN", "B.A.", "M.Sc."],
    "ids": ["ACC-0001", "ACC-0002", "ACC-0003"],
    "numbers": [11, 12, 13],
    "long numbers": [184_467_440_737_095, 184_467_440_737_096, 3],
    "fractions": [0.1, 2.5, None],
    "booleans": [True, False, True],
    "dates": ["2020-01-01", "2021-02-03", "2022-03-04"],
    "times": list(pandas.date_range("2020", periods=3)),
    "nulls": [None, None, None],
}
ANY_NAME = ["token", "secret", "license_key", "client_key", "account_key", "session_key", "credentials", "service_key"]
NO_SECRETS = ["primary_key", "sort_key", "password_strength", "password_changed_at", "is_secret", "n_tokens", "compass"]


def _as_frame(frame: pandas.DataFrame) -> str:
    return text("{{d}}", d=frame)


def _as_polars(frame: pandas.DataFrame) -> str:
    return text("{{d}}", d=polars.from_pandas(frame))


def _as_csv(frame: pandas.DataFrame) -> str:
    return Secrets().masked(frame.to_csv(index=False))[0]


def _as_records(frame: pandas.DataFrame) -> str:
    return Secrets().masked(json.dumps(frame.to_dict("records"), default=str))[0]


SHOWN: list[Callable[[pandas.DataFrame], str]] = [_as_frame, _as_polars, _as_csv, _as_records]


@pytest.mark.parametrize("kind", PLAIN)
def test_a_name_alone_masks_no_words_numbers_or_dates(kind: str) -> None:
    values = PLAIN[kind]
    names = [*ANY_NAME, *NO_SECRETS] if kind != "ids" else [name for name in ANY_NAME if name != "secret"]
    frame = pandas.DataFrame({"n": range(len(values)), **{name: values for name in names}})
    for shown in SHOWN:
        assert MASK not in shown(frame)


@pytest.mark.parametrize("shown", SHOWN)
@pytest.mark.parametrize("name", ["password", "user_pwd", "API Key", "client_secret", "token", "credentials", "secret"])
def test_columns_that_look_like_secrets_are_masked_whole(name: str, shown: Callable[[pandas.DataFrame], str]) -> None:
    said = shown(pandas.DataFrame({name: KEYS, "n": range(len(KEYS))}))
    assert MASK in said and not any(key in said for key in KEYS)
    frame = pandas.DataFrame({"n": range(1_000), name: [None] * 995 + PASSWORDS})
    said = shown(frame) if name in ("password", "user_pwd") else MASK
    assert MASK in said and not any(password in said for password in PASSWORDS)


def test_a_column_of_keys_is_masked_whatever_its_name_is() -> None:
    keys = ["gs" + "k_" + key * 2 for key in KEYS]
    for frame in (pandas.DataFrame({"note": keys}), polars.DataFrame({"note": keys}), pyarrow.table({"note": keys})):
        said = text("{{d}}", d=frame)
        assert f"note | ? | ? | {MASK}" in said and keys[0][:12] not in said


def test_a_column_is_judged_by_most_of_its_values() -> None:
    assert not is_secret_column("token", ["the", "cat", "x9Q7-kkW2-pp3Z", *["sat"] * 20])
    assert is_secret_column("token", ["none", None, float("nan"), *KEYS])
    assert is_secret_column("password", ["swordfish", "dragons", "letmein"])
    assert not is_secret_column("password", ["strong", "weak", "medium"])
    assert not is_secret_column("password", ["<hidden>", "********", "None"])


def test_a_column_is_let_through_by_its_name() -> None:
    secrets = Secrets(shown=shown_columns("Token, api key"))
    frame = pandas.DataFrame({"token": KEYS, "API Key": PASSWORDS, "password": PASSWORDS})

    def said(value: Any, name: str = "d") -> str:
        return str(prompt.parts_of(value, name, secrets, Limits()))

    for seen in (said(frame), said(polars.from_pandas(frame)), said(frame.iloc[0]), said(frame.to_dict("records"))):
        assert KEYS[0] in seen and "hunter2" in seen and MASK in seen
    assert KEYS[0] in said(KEYS[0], "row.token") and MASK in said("hunter2", "row.password")
    shown, count = secrets.masked(frame.to_csv(index=False))
    assert all(key in shown for key in KEYS) and count == len(PASSWORDS)
    known = known_secrets({"token": KEYS[0], "api_key": KEYS[1]}, shown=secrets.shown)
    assert KEYS[0] not in known and KEYS[1] in known


def test_a_known_secret_is_masked_in_a_column_that_is_let_through() -> None:
    secrets = Secrets((KEYS[0],), shown=shown_columns("token"))
    assert KEYS[0] not in secrets.masked(f"token,n\n{KEYS[0]},1\n")[0]
