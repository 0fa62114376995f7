"""The front end's files: where the wheel puts them, what they ask of the page, and that their types are right."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

import claude_magic
import support
from claude_magic.prompt.expressions import Expression, split

ROOT = Path(__file__).parents[2]
FRONTEND = ROOT / "claude_magic" / "frontend"
SCRIPTS = sorted((FRONTEND / "static").glob("*.js"))
TYPES = Path(support.__file__).parent / "frontend_types"
FOLDER = "share/jupyter/labextensions/claude-magic"
VERSION = claude_magic.__version__
MAX_LINES = 120
MAX_CONTAINER_LINES = 35
# What no script of ours does: text as HTML, text as a program, a timer, a request, an address outside.
NEVER = (
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setTimeout|setInterval"
    r"|fetch\(|XMLHttp|https?://"
)


def _json(name: str) -> Any:
    return json.loads((FRONTEND / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built with no node on the path, the wheel from the source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT],
        check=True,
        capture_output=True,
        env={**os.environ, "PATH": str(Path(sys.executable).parent)},
    )
    return folder


@pytest.mark.slow
def test_the_wheel_puts_each_file_where_jupyterlab_looks_and_a_new_version_has_a_new_address(dist: Path) -> None:
    wheel = zipfile.ZipFile(next(dist.glob("*.whl")))
    root = f"claude_magic-{VERSION}.data/data/{FOLDER}/"
    held = {name.removeprefix(root): wheel.read(name) for name in wheel.namelist() if name.startswith(root)}
    own = {path.relative_to(FRONTEND).as_posix(): path.read_bytes() for path in FRONTEND.rglob("*") if path.is_file()}
    assert held == {name.replace("static/", f"{VERSION}/", 1): data for name, data in own.items()}
    assert not [name for name in wheel.namelist() if name.startswith("claude_magic/frontend")], "once, and there"


@pytest.mark.slow
def test_the_source_distribution_has_them_all(dist: Path) -> None:
    with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert {path.relative_to(ROOT).as_posix() for path in FRONTEND.rglob("*") if path.is_file()} <= held


@pytest.mark.slow
def test_jupyterlab_finds_the_extension_in_the_wheel(dist: Path, tmp_path: Path) -> None:
    from jupyterlab_server.config import get_federated_extensions

    with zipfile.ZipFile(next(dist.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path)
    found = get_federated_extensions([str(next(tmp_path.glob("*.data")) / "data" / Path(FOLDER).parent)])
    extension = found["claude-magic"]
    assert extension["version"] == VERSION and extension["install"] == _json("install.json")
    assert (Path(extension["ext_path"]) / extension["jupyterlab"]["_build"]["load"]).is_file()


def test_the_version_of_the_package_is_that_of_the_front_end() -> None:
    package = _json("package.json")
    assert package["version"] == _json("schemas/claude-magic/package.json.orig")["version"] == VERSION
    assert package["jupyterlab"]["_build"]["load"] == f"{VERSION}/container.js"
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'"claude_magic/frontend/static" = "{FOLDER}/{VERSION}"' in project


def test_the_extension_manager_learns_that_pip_installed_it() -> None:
    install = _json("install.json")
    assert install["packageManager"] == "python" and install["packageName"] == "claude_magic"


def test_each_feature_has_a_switch_that_is_on_with_a_title_and_a_description() -> None:
    schema = _json("schemas/claude-magic/plugin.json")
    assert schema["title"] and schema["description"] and schema["properties"]
    for feature in schema["properties"].values():
        assert feature["type"] == "boolean" and feature["default"] is True
        assert feature["title"] and feature["description"].endswith(".")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_short_says_what_it_is_and_does_nothing_that_we_never_do(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    assert lines[0].startswith("// ") and text.endswith("\n")
    assert len(lines) <= (MAX_CONTAINER_LINES if path.name == "container.js" else MAX_LINES)
    assert [line for line in lines if len(line) > 120 or line != line.rstrip() or "\t" in line] == []
    assert not re.findall(NEVER, text)
    assert all(name.startswith("./") for name in re.findall(r'^import .* from "(.*)";$', text, re.MULTILINE))


VALUES = (
    *(
        "no value",
        "{{x}}",
        "It's {{x}}, isn't it {{y}}?",
        "{{x}}{{y}}",
        "{{{'a': {'b': 1}}}}",
        "{{ {1} }}}",
        "{{}} {{x}}",
    ),
    *(
        r"\{{x}} {{y}}",
        "{{'}}'}} {{y}}",
        "{{'it\\'s'}} {{y}}",
        '{{"{{"}} {{y}}',
        "{{a[\n0]}} {{\n{'b': c}['b']\n}}",
        "a {{ b",
    ),
    *("```\n{{x}}\n```", "}} {{x}} }}", "{{x}} {{", '{{f"""a"""}}', "{{ }} {{x}}", "{x} {{[y for y in {1: 2}]}}"),
)


def _by_node(program: str, given: object) -> Any:
    """What a JavaScript expression makes of `given`, with the functions of `expressions.js`."""
    node = shutil.which("node")
    if node is None:
        _missing("node is needed to run the front end's own reading of a prompt")
    whole = f"""
      import {{ readFileSync }} from "node:fs"
      const source = readFileSync({str(FRONTEND / "static" / "expressions.js")!r}, "utf8")
      const {{ asks, expressions, isPrompt }} = await import("data:text/javascript," + encodeURIComponent(source))
      const given = JSON.parse(process.argv[1])
      console.log(JSON.stringify({program}))
    """
    command = [str(node), "--input-type=module", "--eval", whole, json.dumps(given)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.slow
def test_the_page_sees_the_values_that_the_kernel_sees() -> None:
    inside = "given.map(body => expressions(body).map(({from, to}) => body.slice(from + 2, to - 2).trim()))"
    for magic in ("%%claude\n", "\n \n%%claude\n"):
        seen = _by_node(inside, [magic + body for body in VALUES])
        assert seen == [[part.source for part in split(body) if isinstance(part, Expression)] for body in VALUES]


CELLS = (
    *(
        "%%claude",
        "%%claude\nx",
        "%%claude  \nx",
        "%%claude --raw\nx",
        "%%claude_map t\nx",
        "\n\n%%claude\nx",
        " \n\t\n%%claude",
    ),
    *(
        " %%claude\nx",
        "  %%claude\n  x\n\n   y",
        "  %%claude\n  x\n y",
        "\t%%claude\n\tx",
        "\n  %%claude\n  x",
        "  %%claude",
    ),
    *(
        "%%claude\tx",
        "%%claude\xa0x",
        "%% claude",
        "%%claudette",
        "%%claude_cost",
        "%%claude?",
        "%claude x",
        "x\n%%claude",
    ),
    *("", "\n", "\xa0%%claude", "#\n%%claude", "%%claude\u3000", "%%claude-x"),
)


def test_the_page_takes_for_a_prompt_what_ipython_takes_for_one() -> None:
    from IPython.core.inputtransformer2 import TransformerManager

    calls = ("get_ipython().run_cell_magic('claude',", "get_ipython().run_cell_magic('claude_map',")
    ran = [TransformerManager().transform_cell(cell).startswith(calls) for cell in CELLS]
    assert _by_node("given.map(isPrompt)", CELLS) == ran
    assert 10 < sum(ran) < len(CELLS) - 10


def test_a_cell_that_asks_is_one_with_a_magic_that_asks() -> None:
    asking = ["%%claude\nx", "\n%%claude_map t\nx", "x = 1\n%claude hello", "answer = %claude hello", "  %claude_fix"]
    others = [
        "%claude_cost",
        "'%claude x'",
        "# %claude x",
        "%%time\nx % claude",
        "%claudette",
        "a = b == '%claude'",
        "",
    ]
    assert _by_node("given.map(asks)", [*asking, *others]) == [True] * len(asking) + [False] * len(others)


def _missing(reason: str) -> None:
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


@pytest.mark.slow
def test_the_types_of_the_scripts_are_right() -> None:
    npm = shutil.which("npm")
    if npm is None:
        _missing("node and npm are needed to check the types of the front end")
    if not (TYPES / "node_modules" / "typescript").exists():
        command = [str(npm), "install", "--no-package-lock", "--no-audit", "--no-fund"]
        if subprocess.run(command, cwd=TYPES, capture_output=True).returncode:
            _missing("npm could not install TypeScript")
    checked = subprocess.run([TYPES / "node_modules" / ".bin" / "tsc", "-p", TYPES], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
