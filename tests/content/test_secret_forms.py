"""Keys of services are known by their form, in any text around them; placeholders and prose are no keys.

The keys are made here, of a prefix and a body that is generated, so that no scanner takes this file for a leak.
"""

from __future__ import annotations

import base64
import json
import random
import string

import pytest

from claude_magic.content import secret_forms
from claude_magic.content.secrets import MASK, Secrets

_HEX = "0123456789abcdef"
_LETTERS = string.ascii_letters
_BOTH = string.ascii_letters + string.digits
_UPPER = string.ascii_uppercase + string.digits


def body(length: int, characters: str = _BOTH) -> str:
    return "".join(random.Random(length).choices(characters, k=length))


KEYS = {
    "sk-ant-" + "api03-": body(95),
    "sk-" + "proj-": body(120),
    "gsk_": body(52),
    "xai-": body(80),
    "hvs.": body(95),
    "glsa_": body(32) + "_" + body(8, _HEX),
    "shpat_": body(32, _HEX),
    "pcsk_": body(6) + "_" + body(60),
    "AK" + "IA": body(16, _UPPER),
    "AS" + "IA": body(16, _UPPER),
    "github" + "_pat_": body(22) + "_" + body(59),
    "gl" + "pat-": body(20),
    "gl" + "rt-": body(20),
    "xo" + "xb-": "123456789012-1234567890123-" + body(24),
    "npm_": body(36),
    "pypi-": "AgEIcHlwaS5vcmc" + body(70),
    "hf_": body(34, _LETTERS),
    "SG.": body(22) + "." + body(43),
    "sk" + "_live_": body(24),
    "rk" + "_live_": body(24),
    "AI" + "za": body(35),
    "ya" + "29.": body(120),
    "dop_v1_": body(64, _HEX),
    "lin_api_": body(40),
    "figd_": body(40),
    "ntn_": body(46),
    "secret_": body(43),
    "rubygems_": body(48, _HEX),
    "NRAK-": body(27, _UPPER),
    "dapi": body(32, _HEX),
    "PMAK-": body(24, _HEX) + "-" + body(34, _HEX),
    "sntrys_": body(120),
    "tskey-" + "auth-": body(12) + "-" + body(32),
    "vcp_": body(56),
    "cfut_": body(40),
    "pplx-": body(48),
    "r8_": body(37),
    "dckr_pat_": body(27),
    "GOCSPX-": body(28),
    "ATATT3": body(180),
    "AGE-SECRET-KEY-1": body(58, _UPPER),
}


@pytest.mark.parametrize("prefix", KEYS)
def test_a_key_of_a_service_is_known_wherever_it_stands(prefix: str) -> None:
    key = prefix + KEYS[prefix]
    for text in ("{}", "x = '{}'\n", "({})", "a,{},b", "k: {}\n", "<t>{}</t>", r"one\n{}\ntwo", "`{}`.", "|{}|"):
        assert Secrets().masked(text.format(key)) == (text.format(MASK), 1)
    assert secret_forms.is_secret(key) and not secret_forms.is_secret(f"the key {key}")
    filler = prefix + "x" * 40
    assert prefix == "sk-ant-api03-" or Secrets().masked(f"Write {filler} here.")[1] == 0


_PASSWORD = "s3cret" + "Word"
FILES = {
    "kaggle.json": json.dumps({"username": "ada", "key": body(32, _HEX)}),
    "kube config": f"user:\n  client-key-data: {body(60)}\n  token: {body(40)}\n",
    ".pgpass": f"db.example.org:5432:shop:ada:{_PASSWORD}\n*:5433:*:bob:swordfish\n",
    ".netrc": f"machine api.example.org\n    login ada\n    password {_PASSWORD}\n",
    ".npmrc": f"//registry.example.org/:_authToken={body(36)}\n//r.example.org/:_auth=YWRhOnMzY3JldA==\n",
    "config.json": json.dumps({"auths": {"r": {"auth": base64.b64encode(b"ada:s3cretWord").decode()}}}),
    "secret.yaml": f"kind: Secret\ndata:\n  tls: {base64.b64encode(b'something').decode()}\n",
    "deploy.yaml": f"env:\n- name: DB_PASSWORD\n  value: {_PASSWORD}\n",
    ".env": f"DATABASE_URL=postgres://ada:{_PASSWORD}@db/x\n",
    "id_ed25519": f"-----BEGIN OPENSSH {'PRIVATE'} KEY-----\n{body(70)}\n-----END OPENSSH {'PRIVATE'} KEY-----\n",
    "bot.py": f"bot = Bot('{body(9, string.digits)}:AA{body(33)}')",
    "ask.py": f"requests.get(url, auth=('ada', '{_PASSWORD}'))",
    "hook": f"https://hooks.slack.com/services/T{body(9)}/B{body(9)}/{body(24)}",
}


@pytest.mark.parametrize("name", FILES)
def test_files_with_passwords_are_known(name: str) -> None:
    masked, count = Secrets().masked(FILES[name])
    assert count >= 1 and _PASSWORD not in masked and "swordfish" not in masked and body(32, _HEX) not in masked
    assert body(70) not in masked and body(33) not in masked and body(24) not in masked and body(60) not in masked


PROSE = r"""
docker run -u 1000:1000 image
docker exec --user www-data:www-data app ls
curl -u "$USER:$PASS" https://example.org and curl -u user:password x
The secret: patience.
password=YOUR_PASSWORD
api_key="<your-key>" or api_key="sk-..." or token=xxxxxxxxxxxxxxxxxxxx
token: str
api_key=os.environ["X"]
api_key = userdata.get('OPENAI_API_KEY')
headers={"Authorization": f"Bearer {token}"} -H "Authorization: Bearer $TOKEN"
"refresh_token": refresh_token, "adls.account-key": "azure_storage_account_key", "input_token": "nextToken"
"password": "string"
password: {{ vault_password }}
password: !secret wifi_password
postgres://user:password@localhost/db, postgresql://<user>:<password>@<host>, mongodb://${U}:${P}@h
re.compile(r"ghp_[A-Za-z0-9]{36}"), the prefix `ghp_`, 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
The file begins with -----BEGIN RSA PRIVATE KEY----- and then come lines. Never share it.
commit 4b825dc642cb6eb9a060e54bf8d69288fbee4904, id 3f2504e0-4f89-11d3-9a0c-0305e82c3301
"integrity": "sha512-lRZF2d8sP2m9lZtCkV5Qm0S8f3k9Jc3k3m8V7w5p6r2s1t0u9v8w7x6y5z4A3B2C1D0E9F8G7H6I5J4Kg=="
<img src="data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awA=">
<a accesskey="n" href="x">Next</a> publicKeyToken="b03f5f7f11d50a3a" Token: "#dddddd"
app.py:12:5: E501 line too long; 12:34:56:78:9a:bc; host 2001:0db8:85a3:0000:0000:8a2e:0370:7334
key="ArrowLeft" cache_key = "user:42:profile" "key": "d41d8cd98f00b204e9800998ecf8427e"
if token == "end": break; the password is required; the token is invalid
"""


@pytest.mark.parametrize("line", PROSE.strip().splitlines())
def test_prose_placeholders_and_code_are_no_secrets(line: str) -> None:
    assert Secrets().masked(line) == (line, 0)


def test_what_is_found_once_is_masked_wherever_else_it_stands() -> None:
    key = body(40)
    assert Secrets().masked(f"api_key = '{key}'\nprint(): {key}")[0] == f"api_key = '{MASK}'\nprint(): {MASK}"
