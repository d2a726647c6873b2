"""A page becomes the text a reader would see, whatever its encoding."""

from __future__ import annotations

import pytest

from runtime.tools.fetch.target import FetchRefused
from runtime.tools.fetch.text import LONGEST_LINE, page_text

HTML = "<html><head><title>A page</title><script>alert(1)</script></head><body><nav>menu</nav><h1>Größe</h1><p>one</p></body></html>"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (HTML.encode(), "text/html; charset=utf-8"),
        (HTML.encode("latin-1"), "text/html; charset=ISO-8859-1"),
        (HTML.encode("utf-16"), "text/html"),
        (HTML.encode(), "text/html; charset=no-such-thing"),
        (HTML.encode(), "text/html; charset=base64"),
    ],
)
def test_html_is_read_without_its_programs_and_menus(body: bytes, kind: str) -> None:
    page = page_text(body, kind)
    assert (page.title, page.lines) == ("A page", ("Größe", "one"))


def test_plain_text_is_read_as_it_stands_without_empty_lines_and_control_characters() -> None:
    assert page_text(b"one\r\n\n  two\x00\x02\n", "text/plain").lines == ("one", "  two")


def test_json_on_one_long_line_can_be_read_in_pieces() -> None:
    lines = page_text(b"x" * (2 * LONGEST_LINE + 1), "application/json").lines
    assert list(map(len, lines)) == [LONGEST_LINE, LONGEST_LINE, 1]


def test_html_nested_to_stop_a_parser_is_refused() -> None:
    with pytest.raises(FetchRefused, match="broken"):
        page_text(b"<div>" * 50_000, "text/html")
