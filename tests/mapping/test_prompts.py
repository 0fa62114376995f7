"""The requests of a map's rows: their prompts, system prompts, pictures, files and earlier turns."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from claude_magic.content.parts import Limits
from claude_magic.content.secrets import MASK, Secrets
from claude_magic.errors import PromptError, UsageError
from claude_magic.mapping.prompts import Template
from support.offline_requests import prompt_of
from support.shell import OfflineShell as Notebook


def test_a_prompt_without_a_row_is_refused() -> None:
    with pytest.raises(PromptError, match="same for every row"):
        Template("Say {{name}}", {"name": 1}, Secrets(), Limits())
    Template("{{[row.a for _ in range(2)]}}", {}, Secrets(), Limits())


def test_what_no_row_changes_is_evaluated_once(notebook: Notebook) -> None:
    calls: list[int] = []
    notebook.shell.user_ns["once"] = lambda: calls.append(1) or "constant"
    result = notebook.map("['a', 'b']", "{{once()}} {{item}} {{item.upper()}}")
    assert list(result["reply"]) == ["re: constant a A", "re: constant b B"]
    assert calls == [1]


def test_values_of_rows_are_masked_by_what_they_look_like_too(notebook: Notebook) -> None:
    notebook.shell.user_ns["rows"] = [{"token": "cat", "api_key": "aB3dE6gH9jK2mN5p"}]
    notebook.map("rows", "{{row.token}} {{row.api_key}}")
    notebook.map("rows --allow-columns api_key", "{{row.token}} and {{row.api_key}}")
    assert list(map(prompt_of, notebook.server.requests)) == [f"cat {MASK}", "cat and aB3dE6gH9jK2mN5p"]


def test_rows_that_are_the_same_are_asked_once_and_cost_once(notebook: Notebook) -> None:
    result = notebook.map("['a', 'b', 'a']", "Say {{item}}")
    assert sorted(map(prompt_of, notebook.server.requests)) == ["Say a", "Say b"]
    assert list(result["reply"]) == ["re: Say a", "re: Say b", "re: Say a"]
    assert result["cost"][2] == 0 and result["cost"][0] > 0
    assert list(result["output_tokens"] > 0) == [True, True, False]


def test_a_column_that_the_data_has_is_never_overwritten(notebook: Notebook) -> None:
    notebook.shell.user_ns["df"] = pd.DataFrame({"reply": ["old"], "cost": [5]})
    result = notebook.map("df", "Say {{row.reply}}")
    assert list(result.columns[:3]) == ["reply", "cost", "claude_reply"]
    assert (result["reply"][0], result["cost"][0], result["claude_reply"][0]) == ("old", 5, "re: Say old")


@pytest.mark.slow
def test_long_instructions_are_written_to_the_cache_once_and_read_by_all_others(notebook: Notebook) -> None:
    notebook.shell.user_ns["manual"] = "Rules of the house. " * 800
    notebook.map("list(range(12))", "{{manual}}\n\nNow {{item}}")
    usages = [reply["usage"] for reply in notebook.server.replies]
    assert sum(usage["cache_creation_input_tokens"] > 0 for usage in usages) == 1
    assert sum(usage["cache_read_input_tokens"] > 0 for usage in usages) == 11
    assert len(notebook.server.requests[0]["messages"][0]["content"]) == 2


def test_short_instructions_are_not_marked(notebook: Notebook) -> None:
    notebook.map("[1]", "Say {{item}}")
    assert "cache_control" not in json.dumps(notebook.server.requests)
    assert notebook.server.requests[0]["stream"] is True, "a long reply must not look like a dead connection"


# Rows with pictures, files, a system prompt and earlier turns of their own


def pictures(folder: Path, count: int) -> list[Path]:
    """So many tiny pictures, no two alike."""
    paths = [folder / f"{at}.png" for at in range(count)]
    for at, path in enumerate(paths):
        Image.new("RGB", (4, 4), (at % 256, at // 256, 7)).save(path)
    return paths


def sent_pictures(body: dict[str, Any]) -> list[bytes]:
    """The bytes of the pictures in a request, in their order."""
    every = [block for message in body["messages"] for block in message["content"]]
    return [base64.b64decode(each["source"]["data"]) for each in every if each["type"] == "image"]


@pytest.mark.slow
def test_pictures_of_rows_go_as_pictures_and_a_missing_file_costs_its_row_only(
    notebook: Notebook, tmp_path: Path
) -> None:
    paths = pictures(tmp_path, 3)
    notebook.shell.user_ns["frame"] = pd.DataFrame({"path": [*paths, tmp_path / "none.png"]})
    result = notebook.map("frame --concurrency 1", "What is this? {{row.path}}")
    assert [sent_pictures(request) for request in notebook.server.requests] == [[p.read_bytes()] for p in paths]
    assert result["reply"].notna().tolist() == [True, True, True, False]
    assert "none.png does not exist" in result["error"][3]
    opened = [Image.open(path) for path in paths]
    notebook.shell.user_ns["opened"] = opened
    notebook.server.requests.clear()
    notebook.map("opened --fresh", "Describe {{item}}")
    assert len({*(sent_pictures(request)[0] for request in notebook.server.requests)}) == 3


@pytest.mark.slow
def test_a_text_is_a_path_only_where_an_option_says_so(notebook: Notebook, tmp_path: Path) -> None:
    paths = pictures(tmp_path, 2)
    notebook.shell.user_ns["frame"] = pd.DataFrame({"path": [*map(str, paths), None, str(tmp_path / "none.png")]})
    result = notebook.map('frame --concurrency 1 --image "{{row.path}}"', "Describe it.")
    assert [sent_pictures(request) for request in notebook.server.requests] == [[p.read_bytes()] for p in paths]
    assert result["error"][2].startswith("{{row.path}} is missing here")
    assert "there is no file" in result["error"][3]
    notebook.server.requests.clear()
    notebook.map("frame --concurrency 1", "Is {{row.path}} a good name?")
    assert [sent_pictures(request) for request in notebook.server.requests] == [[], [], []]


def test_another_picture_of_the_same_name_is_asked_anew(notebook: Notebook, tmp_path: Path) -> None:
    first, second = pictures(tmp_path, 2)
    notebook.shell.user_ns["paths"] = [first]
    for _ in range(2):
        notebook.map("paths", "Describe {{item}}")
    assert len(notebook.server.requests) == 1
    first.write_bytes(second.read_bytes())
    notebook.map("paths", "Describe {{item}}")
    assert [sent_pictures(request) for request in notebook.server.requests][1] == [second.read_bytes()]


def test_what_all_rows_share_stands_first_with_a_breakpoint(notebook: Notebook, tmp_path: Path) -> None:
    (tmp_path / "guide.txt").write_text("Be fair. " * 4_000)
    (picture,) = pictures(tmp_path, 1)
    line = (
        f"['a', 'b'] --concurrency 1 --image {picture} --file {tmp_path / 'guide.txt'} --file-title Guide --model haiku"
    )
    notebook.map(line, "Judge {{item}}")
    first, second = (request["messages"][0]["content"] for request in notebook.server.requests)
    assert [block["type"] for block in first] == ["image", "document", "text", "text"]
    assert first[1]["title"] == "Guide" and first[:-1] == second[:-1] and first[-1] != second[-1]
    assert [each for each in first if "cache_control" in each] == [first[2]]
    with pytest.raises(UsageError, match="no such file"):
        notebook.map("['a'] --image none.png", "Judge {{item}}")


@pytest.mark.slow
def test_a_system_prompt_that_names_the_row_is_filled_for_each(notebook: Notebook) -> None:
    notebook.shell.user_ns["frame"] = pd.DataFrame({"t": ["a", "b", "c"], "language": ["French", "Thai", None]})
    notebook.shell.user_ns["tone"] = "kindly"
    result = notebook.map('frame --concurrency 1 --system "Answer {{tone}} in {{row.language}}."', "Say {{row.t}}")
    assert [request["system"] for request in notebook.server.requests] == [
        "Answer kindly in French.",
        "Answer kindly in Thai.",
    ]
    assert result["error"][2].startswith("{{row.language}} is missing here")
    notebook.server.requests.clear()
    notebook.map('frame --concurrency 1 --nulls ask --fresh --system "{{row.language}}"', "One question.")
    assert [request.get("system") for request in notebook.server.requests] == ["French", "Thai", None]


def test_the_shared_start_of_a_system_prompt_is_cached(notebook: Notebook) -> None:
    notebook.shell.user_ns["rules"] = "Be fair. " * 4_000
    notebook.map(
        '["French", "Thai"] --concurrency 1 --model haiku --system "{{rules}} Answer in {{item}}."', "Say hello."
    )
    one, other = (request["system"] for request in notebook.server.requests)
    assert one[0] == other[0] and one[0]["cache_control"] == {"type": "ephemeral"}
    assert [one[1]["text"], other[1]["text"]] == ["French.", "Thai."]


def test_what_is_wrong_in_a_rows_system_prompt_says_where(notebook: Notebook) -> None:
    notebook.shell.user_ns["rows"] = [{"t": "a"}]
    with pytest.raises(PromptError, match=r"--system: .*no column 'tone'"):
        notebook.map('rows --system "{{row.tone}}"', "Say {{row.t}}")
    with pytest.raises(PromptError, match="A system prompt is text"):
        notebook.shell.user_ns["rows"] = [Image.new("RGB", (2, 2))]
        notebook.map('rows --system "{{item}}"', "Say it")
    assert notebook.server.requests == []


TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [{"type": "text", "text": "Hello"}]}]


@pytest.mark.slow
def test_rows_bring_earlier_turns(notebook: Notebook) -> None:
    own = [*TURNS, {"role": "user", "content": "And now?"}]
    notebook.shell.user_ns["rows"] = [{"messages": TURNS, "q": "Why?"}, {"messages": [], "q": "Who?"}]
    notebook.map("rows --concurrency 1", "{{row.messages}} {{row.q}}")
    spoken = [
        [(each["role"], each["content"][0]["text"]) for each in request["messages"]]
        for request in notebook.server.requests
    ]
    assert spoken == [[("user", "Hi"), ("assistant", "Hello"), ("user", "Why?")], [("user", "Who?")]]
    notebook.server.requests.clear()
    notebook.shell.user_ns["rows"] = [{"messages": own, "system": "Be brief."}, {"messages": own, "system": "Rhyme."}]
    notebook.map('rows --concurrency 1 --system "{{row.system}}"', "{{row.messages}}")
    assert [request["system"] for request in notebook.server.requests] == ["Be brief.", "Rhyme."]
    assert [len(request["messages"]) for request in notebook.server.requests] == [3, 3]


def test_earlier_turns_that_the_api_refuses_cost_their_row_only(notebook: Notebook) -> None:
    good = [{"role": "user", "content": "Hi"}]
    marked = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
    much = [{"role": "user", "content": [marked] * 5}]
    bad = [TURNS, [{"role": "bot", "content": "x"}], much, [{"role": "user", "content": " "}], [*good, "text"], []]
    notebook.shell.user_ns["rows"] = [{"messages": each} for each in [good, *bad]]
    result = notebook.map("rows --concurrency 1", "{{row.messages}}")
    assert len(notebook.server.requests) == 1 and result["reply"].notna().sum() == 1
    assert all("\n" not in why for why in result["error"][1:])
    assert "ends with the assistant's message" in result["error"][1] and "'bot'" in result["error"][2]
    notebook.shell.user_ns["rows"] = [{"messages": each} for each in bad]
    with pytest.raises(PromptError, match="No row can be asked"):
        notebook.map("rows --concurrency 1", "{{row.messages}}")
    assert len(notebook.server.requests) == 1


def test_the_first_request_has_pictures_and_turns(
    notebook: Notebook, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook.shell.user_ns["rows"] = [{"messages": [*TURNS], "path": each} for each in pictures(tmp_path, 2)]
    notebook.shell.run_cell_magic("claude_map", "rows --show-request", "{{row.messages}} {{row.path}} What is it?")
    shown = json.loads(capsys.readouterr().out)
    assert [each["role"] for each in shown["messages"]] == ["user", "assistant", "user"]
    assert len(sent_pictures(shown)) == 1 and notebook.server.requests == []
