"""What is taken for a secret, what is not, and what becomes of the text around it."""

from __future__ import annotations

import os
import time
from typing import Any

import pandas
import polars
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claude_magic.content.parts import Limits, Text, shortened
from claude_magic.content.secret_names import is_secret_name
from claude_magic.content.secrets import MASK, Secrets, known_secrets
from claude_magic.content.text import CUT_NOTE, truncated
from claude_magic.conversation.turns import Attached
from claude_magic.prompt.prompt import build_prompt, parts_of
from claude_magic.prompt.values.hidden_columns import hidden

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nabc=\n-----END RSA PRIVATE KEY-----"


def masked(text: str, **how: Any) -> str:
    return Secrets().masked(text, **how)[0]


@pytest.mark.parametrize(
    ("before", "secret", "after"),
    [
        ("key: ", "sk-ant-api03-abcDEF123_-", "\n"),
        ("a ", "sk-proj-abcdefghij0123456789", " b"),
        ("aws ", "AKIAIOSFODNN7EXAMPLE", "."),
        ("", "ghp_abcdefghijklmnopqrstuvwxyz0123456789", ""),
        ("(", "github_pat_11ABCDEFG0abcdefghij", ")"),
        ("slack ", "xoxb-1234567890-abcdef", " "),
        ("jwt ", JWT, "\n"),
        ("x\n", PEM, "\ny"),
        ("x\n", "-----BEGIN PRIVATE KEY-----\nMIIEow\nshorte", ""),
        ("postgres://ada:", "p@ss:w0rd", "@host:5432/db?sslmode=on"),
        ("redis://:", "hunter2", "@localhost"),
        ("https://", "abcdefghij0123456789", "@git.example/x.git"),
        ("Authorization: Bearer ", "abc.def-0123456789", "\n"),
        ("{'Authorization': '", "Basic dXNlcjpwdw==", "'}"),
        ("password=", "swordfish", ""),
        ("PASSWORD=", "hunter2", "\nUSER=ada"),
        ("password: ", "hunter2", "\nuser: ada"),
        ("{'password': '", "it\\'s", "', 'user': 'ada'}"),
        ('{"db": {"password": "', 'a \\"b\\" c', '"}}'),
        ('{\\"password\\": \\"', "x y", '\\"}'),
        ("password = '''", "a\nb", "'''\nc = 1"),
        ("Server=x;Uid=sa;Pwd=", "a-b!c", ";Encrypt=yes"),
        ("AccountName=a;AccountKey=", "abc/def+0==", ";x=y"),
        ('os.environ["OPENAI_API_KEY"] = "', "zzz", '"'),
        ('monkeypatch.setenv("DB_PASSWORD", "', "zzz", '")'),
        ('def f(password: str = "', "abc", '", token: str = None): pass'),
        ('Config(user="ada", client_secret="', "abc", '")'),
        ('openai_key = "', "abcdefghij1234567890", '"'),
        ("curl --token ", "abc-def1", " https://example.org"),
        ("curl -u bob:", "s3cret", " https://example.org"),
        ("machine example.org login ada password ", "s3cret", "\n"),
        ("GET /x?sig=", "abc%2Bdef012", "&v=1"),
        ("accessToken: ", "abcdef", ""),
    ],
)
def test_a_secret_is_masked_and_the_rest_stays_byte_for_byte(before: str, secret: str, after: str) -> None:
    assert Secrets().masked(before + secret + after) == (before + MASK + after, 1)


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens=100, tokenizer='x', pad_token='<pad>', tokens = ['a', 'b']",
        "df.sort_values(key='name'); primary_key = 'id'; for key, value in d.items(): pass",
        "def f(password: str, token: str | None = None, secret: bytes): ...",
        "password = getpass.getpass('Password: ')",
        "password=None, secret=os.environ['X'], token=self.token, password=config.password",
        "Index(['user', 'password', 'email'], dtype='object')",
        "Password: must be at least eight characters",
        "PWD=/home/ada OLDPWD=/tmp",
        "https://example.org:8080/path?x=1#y and ada@example.org",
        "sk-learn is fine, and so is sk-toggleable__content-more-of-this",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "secret_name: prod/db, password_length: 12, token_type: bearer",
        "eyJust a word. eyJ.eyJ.x",
        "password=[secret masked]",
        "password='', token=\"\"",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Secrets().masked(text) == (text, 0)


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("password = load()\nconnect(password=pw, token=tok)", None),
        ('password = "hunter2"', f'password = "{MASK}"'),
        ('dsn = "host=x password=abc user=y"', f'dsn = "host=x password={MASK} user=y"'),
        ("x = 1  # password: hunter2", f"x = 1  # password: {MASK}"),
        ("%env API_KEY=abc", f"%env API_KEY={MASK}"),
        ("!curl --token abc-1 x", f"!curl --token {MASK} x"),
        ("%%bash\nexport PASSWORD=abc\n", f"%%bash\nexport PASSWORD={MASK}\n"),
        ("s = '''\npassword=abc\n'''\npassword=pw", f"s = '''\npassword={MASK}\n'''\npassword=pw"),
    ],
)
def test_in_code_only_what_is_written_out_is_a_value(code: str, shown: str | None) -> None:
    assert masked(code, is_code=True) == (shown or code)


CHARACTERS = st.sampled_from("abzAZ019 _-=:/@.'\"\\\n#%{}[](),;") | st.characters(exclude_categories=["Cs"])
BEGINNINGS = ["password", "token", "=", ": ", '"', "'", "://", "@", JWT, PEM, "-----BEGIN PRIVATE KEY-----", "x1"]
TEXTS = st.text(CHARACTERS) | st.lists(st.sampled_from(BEGINNINGS)).map("".join)


@settings(deadline=None)
@given(TEXTS, st.booleans())
def test_masking_is_deterministic_and_leaves_what_it_left(text: str, is_code: bool) -> None:
    shown, count = Secrets().masked(text, is_code=is_code)
    assert Secrets().masked(text, is_code=is_code) == (shown, count)
    assert (count == 0) == (shown == text)
    at = 0
    for piece in shown.split(MASK) if MASK not in text else ():
        at = text.index(piece, at) + len(piece)


@settings(deadline=None)
@given(before=TEXTS, after=TEXTS)
def test_a_known_secret_is_masked_wherever_it_stands(before: str, after: str) -> None:
    secret = "Zz-known-0123"
    shown, count = Secrets((secret,)).masked(f"{before}{secret}{after}")
    assert secret not in shown and count >= 1


HARD = ['password="', "a-", "://", "eyJa", "-----BEGIN PRIVATE KEY-----", "password=(", "password:", "('password','"]
HARD += [
    "x: ",
    "login ",
    "bearer ",
    "sk-",
    "a",
    '\\"',
    "authorization: ",
    'password=["","",',
    "password: int | ",
    "--a",
    "gh" + "p_a",
    "-us",
    "Q~",
    "a:1234:b:c:",
    "-u a:",
    "token is ",
    "mysql ",
    '"key": "',
    "kind: Secret\ndata:\n  a: b\n",
    " token\n",
    "token,key\n",
    "<token>",
    'name: token value: "',
]


@pytest.mark.parametrize("piece", HARD)
def test_time_is_linear_in_the_text_whatever_it_is(piece: str) -> None:
    """Eight times the text takes far less than the sixty-four times the time of a quadratic search."""

    def seconds(characters: int) -> float:
        text, times = (piece * characters)[:characters], []
        for _ in range(2):
            start = time.process_time()
            Secrets().masked(text)
            times.append(time.process_time() - start)
        return min(times)

    assert seconds(48_000) < 30 * max(seconds(6_000), 0.002)


@pytest.mark.parametrize("name", ["password", "DB_PASSWORD", "apiKey", "API_KEY", "aws_secret_access_key", "userPass"])
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["tokens", "max_tokens", "key", "passenger", "compass", "secretary", "password_hint", ""]
)
def test_names_of_other_things(name: str) -> None:
    assert not is_secret_name(name)


def test_secrets_of_the_environment_and_the_notebook_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "odd-key-0123456789")
    found = known_secrets(
        {"db_password": "hunter2hunter2", "token": "short", "text": "not-this-one-1", "x": 1}, ["given-0123"]
    )
    assert {"odd-key-0123456789", "hunter2hunter2", "given-0123"} <= set(found)
    assert not {"short", "not-this-one-1", os.environ.get("HOME")} & set(found)


def prompt(body: str, allowed: bool = False, **namespace: Any) -> tuple[str, tuple[Attached, ...]]:
    found = build_prompt(body, namespace, secrets=Secrets(known_secrets(namespace), allowed))
    return "".join(block["text"] for block in found.content), found.attached


def test_a_value_goes_without_its_secrets_and_the_listing_says_how_many() -> None:
    text, (config,) = prompt("See {{config}}.", config={"user": "ada", "password": "hunter2", "api_key": "k"})
    assert text == f"See {{'user': 'ada', 'password': '{MASK}', 'api_key': '{MASK}'}}."
    assert config.masked == 2


def test_what_the_reader_typed_goes_as_it_is() -> None:
    assert prompt("password=hunter2 {{x}}", x=1)[0] == "password=hunter2 1"


def test_allowed_secrets_go() -> None:
    frame = pandas.DataFrame({"password": ["hunter2"]})
    text, along = prompt("{{config}} {{password}} {{frame}}", True, config={"password": "a"}, password="b", frame=frame)
    assert MASK not in text and "hunter2" in text and not any(each.masked for each in along)


@pytest.mark.parametrize("expression", ["password", "config['password']", "c.password", 'os.environ["DB_PASSWORD"]'])
def test_a_text_whose_name_says_that_it_is_a_secret_is_masked_whole(expression: str) -> None:
    class C:
        password = "a b\nc"

    names = {"password": "a b\nc", "config": {"password": "a b\nc"}, "c": C, "os": os}
    os.environ["DB_PASSWORD"] = "a b\nc"
    try:
        text, (found,) = prompt(f"{{{{{expression}}}}}", **names)
    finally:
        del os.environ["DB_PASSWORD"]
    assert (text, found.masked) == (MASK, 1)


@pytest.mark.parametrize("make", [pandas.DataFrame, polars.DataFrame, lambda data: polars.DataFrame(data).lazy()])
def test_a_column_whose_name_says_so_is_masked(make: Any) -> None:
    frame = make({"user": ["ada", "bob"], "password": ["hunter2", "swordfish"], "api_key": ["k1", "k2"]})
    for value in (frame, [frame], {"a": frame}):
        text, (found,) = prompt("{{value}}", value=value)
        assert not any(secret in text for secret in ("hunter2", "swordfish", "k1", "k2"))
        assert bool(found.masked) == (MASK in text)
    (column,) = [hidden(frame["password"])] if hasattr(frame, "shape") else [MASK]
    assert "hunter2" not in str(column) and MASK in str(column)


def test_the_readers_own_frame_stays_as_it_is() -> None:
    frame = pandas.DataFrame([["ada", "hunter2", "x"]], columns=["user", "password", "password"])
    before = frame.copy()
    assert "hunter2" not in prompt("{{frame}}", frame=frame)[0]
    pandas.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize(
    ("said", "masked"),
    [
        ("ValueError: login failed for password=hunter2", f"ValueError: login failed for password={MASK}"),
        ("INFO: as bob with api_key = abc1", f"INFO: as bob with api_key = {MASK}"),
        ("{'passwords': ['a1', None, 'b2']}", f"{{'passwords': ['{MASK}', None, '{MASK}']}}"),
        ("<password>hunter2</password><n>1</n>", f"<password>{MASK}</password><n>1</n>"),
        ("DataFrame passwords: 12 rows × 3 columns (pandas)", "DataFrame passwords: 12 rows × 3 columns (pandas)"),
        ("x: int = 5", "x: int = 5"),
    ],
)
def test_a_name_behind_another_in_lists_and_in_tags(said: str, masked: str) -> None:
    assert Secrets().masked(said)[0] == masked


def test_a_list_of_a_secret_s_name_is_masked_whole() -> None:
    parts = parts_of(["a", "b"], "settings.api_keys", Secrets(), Limits())
    assert [part.text for part in parts if isinstance(part, Text)] == [MASK]


@pytest.mark.parametrize(
    "line", ["password=hunter2", "password: hunter2,", '"api_key": "hunter2",', "PASSWORD='hunter2'"]
)
def test_a_value_behind_which_a_text_is_cut_is_masked_wherever_that_is(line: str) -> None:
    text = f"{line} " * 50
    for room in range(120, 300):
        for keep_end in (False, True):
            kept = shortened(text, room, keep_end=keep_end)
            assert "hunter2" not in Secrets().masked(kept)[0], (room, kept)


def test_a_password_in_an_address_is_masked_wherever_a_text_is_cut() -> None:
    text = "postgres://bob:hunter2;zebra7@db:5432/sales " * 50
    for room in range(150, 300):
        for keep_end in (False, True):
            masked = Secrets().masked(shortened(text, room, keep_end=keep_end))[0]
            assert "hunter2" not in masked and "zebra7" not in masked and "postgres://bob:" in masked, (room, masked)


@pytest.mark.parametrize(
    ("before", "password"),
    [
        ("postgres://bob:", "hunter2"),
        ("requests.get(url, auth=('bob', '", "hunter2"),
        ('{"auths": {"x.io": {"auth": "', "Ym9iOmh1bnRlcjI6emVicmE3"),
        ("db.example.com:5432:sales:bob:", "hunter2"),
    ],
)
def test_a_password_is_masked_in_whose_middle_a_text_is_cut(before: str, password: str) -> None:
    text = f"{before}{password}@"
    for cut in range(len(password) // 2, len(password) + 1):
        for shown in (truncated(text, len(before) + cut), f"{text[: len(before) + cut]}{CUT_NOTE}9 of 99 characters]"):
            assert password[: len(password) // 2] not in Secrets().masked(shown)[0], shown


@pytest.mark.parametrize(
    "text",
    [
        *("at http://localhost:8080", "it is http://bob", "ssh://host:22", "see https://docs.org/a:b"),
        *("http://host:8080,", "(http://host:8080;", "http://host:8080#top", "http://host:8888`"),
        *("http://host:8080?q=a:b", "http://host:port", "http://[2001:db8::1]", "sqlite://:memory:"),
    ],
)
def test_an_address_without_a_password_stays_where_a_text_is_cut(text: str) -> None:
    for shown in (f"{text}{CUT_NOTE}24 of 99 characters]", f"{text}\n{CUT_NOTE}24 of 99 characters]"):
        assert Secrets().masked(shown)[1] == 0


@pytest.mark.parametrize("text", ["john@example.com", "2024-01-01,alice,a@b.com", "A=B@C", "see you @ home"])
def test_what_has_an_at_sign_behind_a_cut_stays(text: str) -> None:
    assert Secrets().masked(f"a{CUT_NOTE}24 of 99 characters]\n{text}")[1] == 0


@pytest.mark.parametrize("value", ["sk-ant-…", "ghp_...", "abc…", "…"])
def test_the_start_of_a_key_and_dots_are_no_secret(value: str) -> None:
    assert Secrets().masked(f'api_key = "{value}"')[1] == 0


@pytest.mark.parametrize(
    "text",
    [
        "the key Xk9!paperclip-zeb… [shortened: 25 of 99 characters]",
        "| Xk9!paperclip… |",
        "['Xk9!paperclip-zebra [of more in all]",
        "… [shortened: 9 of 99 characters]\nrclip-zebra_77 is behind the cut",
    ],
)
def test_the_part_of_a_known_secret_that_a_cut_left_is_masked(text: str) -> None:
    secrets = Secrets(("Xk9!paperclip-zebra_77",))
    masked, count = secrets.masked(text)
    assert "clip" not in masked and MASK in masked and count == 1
    assert secrets.masked("Xk9!paperclips are no secret")[1] == 0


@pytest.mark.slow
def test_a_text_of_equal_characters_is_searched_in_linear_time() -> None:
    started = time.process_time()
    assert Secrets(("a" * 20 + "b",)).masked("a" * 2_000_000 + "…")[1] == 0
    assert time.process_time() - started < 3
