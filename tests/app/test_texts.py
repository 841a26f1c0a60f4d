"""Other people's text in Markdown: as it is, and nothing of it read as markup."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from app.texts import code, literal

WORDS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)


def rendered(markdown: str) -> str:
    """What a reader sees of a paragraph of Markdown, and whether anything in it is markup."""
    paragraph = MarkdownIt().parseInline(markdown)[0]
    kinds = {token.type for token in paragraph.children or []}
    assert kinds <= {"text", "text_special"}, kinds
    return "".join(token.content for token in paragraph.children or [])


@given(WORDS)
def test_literal_text_is_read_as_it_is(text: str) -> None:
    assert rendered(literal(text)) == text


@given(WORDS)
def test_a_span_of_code_holds_exactly_the_text(text: str) -> None:
    (span,) = MarkdownIt().parseInline(code(text))[0].children or []
    assert (span.type, span.content) == ("code_inline", text)


@pytest.mark.parametrize("text", [":smile:", "$x$", ":red[x]", "**b**", "<b>", "[a](b)", "# a"])
def test_every_mark_of_streamlits_markdown_is_escaped(text: str) -> None:
    plain = literal(text)
    assert "\\" in plain
    assert plain.replace("\\", "") == text
