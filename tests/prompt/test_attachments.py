"""What `--image` and `--file` take, and what they refuse before anything is sent."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import numpy
import pandas
import pytest
from matplotlib.figure import Figure
from PIL import Image

from claude_magic.client import lookups
from claude_magic.content.parts import Piece
from claude_magic.errors import UsageError
from claude_magic.options import Options
from claude_magic.prompt import prompt
from claude_magic.prompt.attachments import pieces
from support.kernel import Kernel
from support.prompt_blocks import picture


def png(color: str = "teal") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (30, 20), color).save(buffer, "PNG")
    return buffer.getvalue()


class Site(BaseHTTPRequestHandler):
    """A web site that notes what it is asked."""

    asked: ClassVar[list[dict[str, str]]] = []
    pages: ClassVar[dict[str, tuple[int, dict[str, str], bytes]]] = {
        "/plot.png": (200, {"content-type": "image/png"}, png()),
        "/plain": (200, {"content-type": "application/octet-stream"}, png()),
        "/login.png": (200, {"content-type": "image/png"}, b"<html>Please log in</html>"),
        "/a%20paper.pdf": (200, {"content-type": "application/pdf"}, b"%PDF-1.4 nothing"),
        "/notes.txt": (200, {"content-type": "text/plain; charset=utf-8"}, "Grüße".encode()),
        "/moved": (302, {"location": "/plot.png", "set-cookie": "who=me"}, b""),
        "/round": (302, {"location": "/round"}, b""),
        "/to-file": (302, {"location": "file:///etc/passwd"}, b""),
        "/gone": (404, {}, b"gone"),
        "/large": (200, {}, b"x" * 5_000),
        "/empty": (200, {}, b""),
    }

    def do_GET(self) -> None:
        self.asked.append({"path": self.path, **{name.lower(): value for name, value in self.headers.items()}})
        status, headers, body = self.pages[self.path.partition("?")[0]]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *told: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("b.png", "a.png", "deep/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(png())
    (tmp_path / "notes.txt").write_text("some notes")
    return tmp_path


def attached(*, namespace: dict[str, Any] | None = None, **given: Any) -> list[Piece]:
    return pieces(Options(**given), namespace or {})


def names(found: list[Piece]) -> list[str]:
    return [piece.name for piece in found]


def refusal(**given: Any) -> str:
    with pytest.raises(UsageError) as caught:
        attached(**given)
    assert caught.value.__context__ is None and "\n" not in str(caught.value)
    assert "Nothing was sent." in str(caught.value) or "takes" in str(caught.value)
    return str(caught.value)


def test_paths_patterns_and_a_home_are_files_in_order(folder: Path) -> None:
    assert names(attached(image=("b.png", "*.png"))) == ["b.png", "a.png", "b.png"]
    assert names(attached(image=("~/a.png", "**/*.png"))) == ["a.png", "a.png", "b.png", "c.png"]
    found = attached(file=("notes.txt",), image=(str(folder / "a.png"),))
    assert [(piece.name, piece.kind) for piece in found] == [("a.png", "image"), ("notes.txt, 10 bytes", "file")]


def test_what_matches_nothing_is_refused_with_a_guess(folder: Path) -> None:
    assert "no file matches" in refusal(image=("*.gif",))
    assert "no file matches" in refusal(image=("dee[p",))
    assert "'notes.txt'" in refusal(file=("note.txt",))
    assert "'figure'" in refusal(image=("figur",), namespace={"figure": 1})
    assert "*.png" in refusal(file=("deep",)) and "folder" in refusal(file=("deep",))
    assert "--file takes it" in refusal(image=("notes.txt",))


def test_variables_are_what_they_hold(folder: Path) -> None:
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([1, 2])
    held: dict[str, Any] = {
        "path": Path("a.png"),
        "text_path": "a.png",
        "data": png(),
        "stream": io.BytesIO(png()),
        "figure": figure,
        "axes": figure.axes[0],
        "photo": Image.new("RGB", (30, 20)),
        "pixels": numpy.zeros((20, 30, 3), "uint8"),
    }
    for name in held:
        (piece,) = attached(image=(name,), namespace=held)
        assert [block["type"] for block in piece.parts] == ["image"], name
        assert piece.kind == "image"
    both = attached(image=("both",), namespace={"both": [Path("a.png"), "b.png"]})
    assert names(both) == ["a.png", "b.png"]
    several = attached(image=("several",), namespace={"several": (figure, held["photo"], png())})
    assert [piece.kind for piece in several] == ["image"] * 3
    (frame,) = attached(file=("frame",), namespace={"frame": pandas.DataFrame({"a": [1, 2]})})
    assert frame.name == "frame" and "DataFrame frame: 2 rows" in frame.parts[0]["text"]
    (notes,) = attached(file=("long",), namespace={"long": "a text of several words"})
    assert notes.parts[0]["source"]["data"] == "a text of several words" and notes.parts[0]["title"] == "long"


def test_a_list_that_holds_itself_or_too_much_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert "a list in a list" in refusal(image=("endless",), namespace={"endless": endless})
    assert "601 elements" in refusal(image=("many",), namespace={"many": [png()] * 601})


def test_a_file_goes_before_a_variable_and_a_variable_before_a_folder(folder: Path) -> None:
    (folder / "thing").write_text("from the file")
    (piece,) = attached(file=("thing",), namespace={"thing": "from the variable"})
    assert piece.parts[0]["source"]["data"] == "from the file"
    (piece,) = attached(file=("deep",), namespace={"deep": Path("notes.txt")})
    assert piece.parts[0]["title"] == "notes.txt"


def test_expressions_are_values_and_their_failures_name_the_option(folder: Path) -> None:
    (piece,) = attached(file=("{{paths[0]}}",), namespace={"paths": [Path("notes.txt")]})
    assert piece.parts[0]["title"] == "notes.txt"
    assert "--image: {{nope}} failed: there is no name 'nope'" in refusal(image=("{{nope}}",))
    assert "is not a Python expression" in refusal(image=("{{1 +}}",))
    assert "no file" in refusal(image=("{{'missing.png'}}",))


def test_an_address_is_fetched_and_sent_as_bytes(site: str) -> None:
    Site.asked.clear()
    (image,) = attached(image=(f"{site}/plot.png?size=large",))
    assert (image.name, image.kind) == ("plot.png", "image")
    assert picture(image.parts[0]).size == (30, 20)
    (notes,) = attached(file=(f"{site}/notes.txt",))
    assert notes.parts[0]["source"]["data"] == "Grüße"
    (paper,) = attached(file=(f"{site}/a%20paper.pdf",))
    assert (paper.parts[0]["title"], paper.kind) == ("a paper.pdf", "PDF")
    assert attached(image=(f"{site}/plain",))[0].kind == "image"
    assert not {"authorization", "cookie", "x-api-key", "referer"} & {name for asked in Site.asked for name in asked}


def test_a_redirect_is_followed_without_its_cookies_and_only_so_often(site: str) -> None:
    Site.asked.clear()
    assert attached(image=(f"{site}/moved",))[0].kind == "image"
    assert [asked["path"] for asked in Site.asked] == ["/moved", "/plot.png"]
    assert not any("cookie" in asked for asked in Site.asked)
    Site.asked.clear()
    assert "more than 5 times" in refusal(image=(f"{site}/round",))
    assert len(Site.asked) == 6
    assert "no http or https" in refusal(image=(f"{site}/to-file",))


@pytest.mark.slow
def test_what_cannot_be_fetched_is_one_line_without_the_query(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for path, said in [("/gone", "404"), ("/login.png", "its bytes are something else"), ("/empty", "empty")]:
        told = refusal(file=(f"{site}{path}?token=secret",))
        assert said in told and "secret" not in told
    monkeypatch.setattr("claude_magic.prompt.attachments.MAX_FILE_BYTES", 4_000)
    assert "more than" in refusal(file=(f"{site}/large",))
    assert "cannot be reached" in refusal(file=("http://127.0.0.1:1/x.png",))
    monkeypatch.setattr(lookups, "FETCH_SECONDS", -1.0)
    assert "took more than" in refusal(file=(f"{site}/plot.png",))


@pytest.mark.parametrize(
    "address",
    ["ftp://example.com/a.png", "file:///etc/passwd", "https://", "http://[::1", "https://me:pass@host/a.png"],
)
def test_what_is_no_address_of_the_web_is_refused_without_a_password(address: str) -> None:
    assert "pass@" not in refusal(image=(address,))


def test_data_urls_are_what_they_hold() -> None:
    whole = f"data:image/png;base64,{base64.b64encode(png()).decode()}"
    assert attached(image=(whole,))[0].kind == "image"
    (text,) = attached(file=(f"data:text/plain,{quote('Grüße, Welt')}",))
    assert text.parts[0]["source"]["data"] == "Grüße, Welt"
    for damaged in ("data:image/png;base64,@@@", "data:image/png;base64", whole[:-41]):
        assert "data URL" in refusal(image=(damaged,))


def test_by_url_sends_the_address_and_fetches_nothing(site: str) -> None:
    Site.asked.clear()
    found = attached(image=(f"{site}/anything",), file=(f"{site}/paper.pdf", f"{site}/plot.JPG"), by_url=True)
    assert [part for piece in found for part in piece.parts] == [
        {"type": "image", "source": {"type": "url", "url": f"{site}/anything"}},
        {"type": "document", "source": {"type": "url", "url": f"{site}/paper.pdf"}, "title": "paper.pdf"},
        {"type": "image", "source": {"type": "url", "url": f"{site}/plot.JPG"}},
    ]
    assert not Site.asked
    assert "signature" in refusal(image=("https://host/a.png?X-Amz-Signature=1",), by_url=True)
    assert "--by-url is for" in refusal(by_url=True)


def test_secrets_in_a_file_are_masked(folder: Path) -> None:
    (folder / ".env").write_text("ANTHROPIC_API_KEY=sk-ant-api03-" + "a1B2" * 22 + "\n")
    made = prompt.build_prompt("what is set?", {}, attached(file=(".env",)))
    assert "a1B2a1B2" not in json.dumps(made.content) and made.attached[0].masked == 1


@pytest.fixture(scope="module")
def notebook(kernel: Kernel) -> Kernel:
    kernel.run("%load_ext claude_magic\n%config ClaudeMagic.provider = 'offline'")
    return kernel


def test_a_cell_sends_attachments_before_its_text_and_names_them(notebook: Kernel, site: str) -> None:
    (notebook.folder / "a file.txt").write_text("some notes")
    ran = notebook.run(f'%%claude -i {site}/plot.png -f "a file.txt"\nwhat are these?')
    assert ran.error is None
    shown = json.dumps([output.get("data", {}) for output in ran.outputs], ensure_ascii=False)
    assert "plot.png" in shown and "a file.txt, 10 bytes" in shown and '"image/png"' in shown
    printed = notebook.run(f'%%claude --once --show-request -f "a file.txt" -i {site}/plot.png\nwhat are these?').text
    (message,) = json.loads(printed)["messages"]
    assert [block["type"] for block in message["content"]] == ["image", "document", "text"]


def test_a_cell_with_a_panel_sends_an_address_and_names_it(notebook: Kernel, site: str) -> None:
    ran = notebook.run(f"%%claude --once --by-url -i {site}/plot.png\nwhat is it?", cell_id="by-url")
    assert ran.error is None and any("plot.png" in shown for shown in ran.shown("text/html"))
    notebook.run("%config ClaudeMagic.provider = 'bedrock'")
    refused = notebook.run(f"%%claude --once --by-url -i {site}/plot.png\nwhat is it?").error
    notebook.run("%config ClaudeMagic.provider = 'offline'")
    assert refused is not None and "as bytes only" in refused["evalue"]


def test_a_document_has_the_title_and_the_context_that_are_given_by_order(folder: Path) -> None:
    (folder / "a.txt").write_text("First.")
    (folder / "b.txt").write_text("Second.")
    found = [
        part
        for piece in attached(file=("a.txt", "b.txt"), file_title=("The first",), file_context=("Of 2025.", "Of 2026."))
        for part in piece.parts
        if isinstance(part, dict)
    ]
    assert [(block["title"], block.get("context")) for block in found] == [
        ("The first", "Of 2025."),
        ("b.txt", "Of 2026."),
    ]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"file_title": ("x",)}, "There is a --file-title more than there are files"),
        ({"file": ("a.txt",), "file_context": ("x", "y")}, "There is a --file-context more than there are files"),
        ({"file": ("p.png",), "file_title": ("x",)}, "--file-title is for a document, and --file p.png is not one"),
        ({"file": ("*.txt",), "file_title": ("x",)}, "--file-title is for a document, and --file *.txt is not one"),
    ],
)
def test_a_title_without_its_document_is_refused(folder: Path, options: dict[str, Any], says: str) -> None:
    (folder / "a.txt").write_text("First.")
    (folder / "b.txt").write_text("Second.")
    (folder / "p.png").write_bytes(png())
    assert says in refusal(**options)
