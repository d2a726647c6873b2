"""Somebody in front of the page: what they do, and what they see."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.browser.server import Server


class Person:
    """Drives one tab by roles and names, as a screen reader would."""

    def __init__(self, page: Page, server: Server) -> None:
        self.page = page
        self.server = server

    def visit(self, path: str = "/") -> None:
        self.page.goto(path)
        expect(self.page.get_by_role("banner")).to_be_visible()

    @property
    def field(self) -> Locator:
        return self.page.get_by_role("textbox", name="Your question")

    def ask(self, question: str) -> str:
        """Types the question and sends it; the run's id, which the address then has."""
        self.field.fill(question)
        self.page.get_by_role("button", name="Ask", exact=True).click()
        return self.run_in_address()

    def run_in_address(self) -> str:
        self.page.wait_for_url(re.compile(r"/runs/[0-9a-f-]{36}$"))
        return self.page.url.rsplit("/", 1)[1]

    @property
    def answer(self) -> Locator:
        return self.page.get_by_role("region", name="Answer", exact=True)

    def answered(self) -> str:
        """Waits for the answer; its text."""
        expect(self.answer).to_be_visible(timeout=30_000)
        return "\n\n".join(self.answer.locator(".markdown").all_inner_texts())

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def snapshot(self, run_id: str) -> dict[str, Any]:
        return dict(self.server.get(f"/v1/runs/{run_id}"))


def plain(markdown: str) -> str:
    """Markdown's words alone, to hold against what a page shows."""
    return " ".join(re.sub(r"[*#|`-]+", " ", markdown).split())
