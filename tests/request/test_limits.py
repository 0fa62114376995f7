"""What a request may hold: refused here before it is sent, and by the stand-in where it is sent all the same."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from claude_magic import offline, providers
from claude_magic.content import token_estimate
from claude_magic.errors import UsageError
from claude_magic.request import limits
from support.offline_requests import HELLO, image, refusal, user
from support.pdf_files import packed_pdf

SMALLER = "claude-haiku-4-5"


def pdf(pages: int, title: str = "report.pdf") -> dict[str, Any]:
    data = base64.b64encode(packed_pdf(pages)).decode()
    return {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": data},
        "title": title,
    }


def said(*content: Any, model: str = "claude-opus-5-5", provider: str = "anthropic", more: Any = ()) -> str:
    """What a request with this content is refused with; empty where it is not."""
    params = {"model": model, "messages": [*more, user([*content, {"type": "text", "text": "what?"}])]}
    try:
        limits.check(params, providers.lacks(provider, "urls"))
    except UsageError as error:
        assert "\n" not in str(error)
        return str(error)
    return ""


@pytest.mark.parametrize(("model", "most"), [("claude-opus-5-5", 600), (SMALLER, 100)])
def test_pages_of_all_pdfs_count_by_the_models_context(standin: offline.Server, model: str, most: int) -> None:
    before = [user([pdf(most - 10, "first.pdf")]), HELLO[1]]
    assert not said(pdf(10), model=model, more=before)
    told = said(pdf(11), model=model, more=before)
    assert f"{most + 1} pages" in told and f"first.pdf ({most - 10})" in told and "report.pdf (11)" in told
    for pages, is_refused in [(10, False), (11, True)]:
        refused = refusal(standin, model=model, messages=[*before, user([pdf(pages)])])
        assert ("PDF pages" in refused) == is_refused


@pytest.mark.parametrize(("model", "most"), [("claude-opus-5-5", 600), (SMALLER, 100)])
def test_images_of_all_turns_tool_results_and_documents_count(standin: offline.Server, model: str, most: int) -> None:
    small = image(1, 1)
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [small] * 10}
    document = {"type": "document", "source": {"type": "content", "content": [small] * 5}}
    assert not said(result, document, *[small] * (most - 15), model=model)
    assert f"{most + 1} images" in said(result, document, *[small] * (most - 14), model=model)
    assert "too many images" in refusal(standin, model=model, messages=[user([small] * (most + 1))])


def test_among_many_images_none_is_large() -> None:
    large = image(2_001, 1)
    assert not said(large, *[image(1, 1)] * 19)
    assert "2,001" in said(large, *[image(1, 1)] * 20)


@pytest.mark.slow
def test_a_request_that_is_too_large_names_its_largest_parts() -> None:
    def block(size: int, title: str) -> dict[str, Any]:
        source = {"type": "text", "media_type": "text/plain", "data": "x" * size}
        return {"type": "document", "source": source, "title": title}

    assert not said(block(30_000_000, "long.txt"))
    told = said(block(30_000_000, "long.txt"), block(5_000_000, "short.txt"), block(10, "tiny.txt"))
    assert "33.4 MB" in told and "long.txt (28.6 MB), short.txt (4.8 MB)." in told and "tiny" not in told
    assert "33.4 MB" in said({"type": "text", "text": "x" * 35_000_000})


@pytest.mark.parametrize("provider", ["bedrock", "vertex"])
def test_clouds_take_bytes_only_and_smaller_images(provider: str) -> None:
    address = {"type": "url", "url": "https://example.com/a.png"}
    assert not said({"type": "image", "source": address})
    for kind in ("image", "document"):
        assert "as bytes only" in said({"type": kind, "source": address}, provider=provider)
    large = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 5_000_001}}
    assert not said(large)
    assert "4.8 MB at most" in said(large, provider=provider)


def test_a_pdf_weighs_by_its_pages() -> None:
    assert token_estimate.of_blocks([pdf(12)]) == 12 * token_estimate.PDF_PAGE_TOKENS
