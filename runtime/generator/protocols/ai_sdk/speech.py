"""What models say, as text and reasoning parts: opened by a turn's first words, closed with the turn.

All parts of a turn stay open until it ends, since only the end of a part can still say that it was withdrawn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from runtime.events.messages import ContentBlock, TextBlock, ThinkingBlock, text_of
from runtime.events.texts import TextKey
from runtime.generator.protocols.ai_sdk.chunks import ours
from runtime.generator.protocols.ai_sdk.writer import Writer

Kind = Literal["text", "reasoning"]


@dataclass(slots=True)
class _Turn:
    """What one attempt at a turn has said so far."""

    parts: list[tuple[Kind, str]] = field(default_factory=list)
    """Its open parts: kind and id. What it says next belongs to the last."""
    text: list[str] = field(default_factory=list)


class Speech:
    """The open parts of all turns. ``turn.completed`` has the last word: what it says is what stands."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._turns: dict[TextKey, _Turn] = {}
        self._answers: dict[str, str] = {}
        self._said: set[str] = set()

    @property
    def open(self) -> bool:
        """Whether any part is open."""
        return bool(self._turns)

    def delta(self, key: TextKey, kind: Kind, text: str, seq: int) -> None:
        """More words; ``seq`` is the event's, and names the part that it opens."""
        turn = self._turns.setdefault(key, _Turn())
        if not turn.parts or turn.parts[-1][0] != kind:
            self._start(turn, key, kind, f"{kind}-{seq}")
        if kind == "text":
            turn.text.append(text)
        self._writer.put({"type": f"{kind}-delta", "id": turn.parts[-1][1], "delta": text}, key)

    def completed(self, key: TextKey, content: tuple[ContentBlock, ...], seq: int) -> None:
        """A turn is over: add what is missing, and close it. What its deltas said otherwise is withdrawn."""
        turn, text = self._turns.get(key), text_of(content)
        said = "".join(turn.text) if turn else ""
        if turn is not None and not text.startswith(said):
            self.withdrawn(key)
            turn = None
        if turn is None:
            self._whole(key, content, seq)
        elif len(text) > len(said):
            self.delta(key, "text", text[len(said) :], seq)
        self.close(key)
        if not key.call:
            self._answers[key.stage] = text.strip()
            self._said.add(text.strip())

    def withdrawn(self, key: TextKey) -> None:
        """What a turn said does not count: taken back, or, where the client cannot, marked ``withdrawn``."""
        if self._writer.take_back(key):
            self._turns.pop(key, None)
        else:
            self.close(key, withdrawn=True)

    def output(self, key: TextKey, text: str, seq: int) -> None:
        """What a stage hands on, unless it is what its last turn said."""
        if self._answers.get(key.stage) != text.strip():
            self.told(key, text, seq)
            self._answers[key.stage] = text.strip()

    def answer(self, text: str, outputs: tuple[str, ...], seq: int) -> None:
        """The run's answer, unless it is made of what was said already."""
        shown = text.strip() in self._said or all(output.strip() in self._said for output in outputs)
        if not (outputs and shown):
            self.told(TextKey("", "", 0, 0), text, seq)

    def told(self, key: TextKey, text: str, seq: int) -> None:
        """A text of its own."""
        if not text.strip() or text.strip() in self._said:
            return
        self.delta(key, "text", text, seq)
        self.close(key)
        self._said.add(text.strip())

    def close(self, key: TextKey, *, withdrawn: bool = False) -> None:
        """Nothing more comes of that turn."""
        turn = self._turns.pop(key, None)
        for kind, part in turn.parts if turn else ():
            end: dict[str, object] = {"type": f"{kind}-end", "id": part}
            if withdrawn:
                end["providerMetadata"] = _who(key, withdrawn=True)
            self._writer.put(end, key)

    def close_stage(self, stage: str) -> None:
        """Nothing more comes of that stage's turns."""
        for key in [key for key in self._turns if key.stage == stage]:
            self.close(key)

    def close_all(self) -> None:
        """Nothing more comes."""
        for key in list(self._turns):
            self.close(key)

    def reopen(self) -> None:
        """For a response that begins in the middle: the parts that go on in it."""
        for key, turn in self._turns.items():
            for kind, part in turn.parts:
                self._writer.put({"type": f"{kind}-start", "id": part, "providerMetadata": _who(key)}, key)

    def _start(self, turn: _Turn, key: TextKey, kind: Kind, part: str) -> None:
        turn.parts.append((kind, part))
        self._writer.put({"type": f"{kind}-start", "id": part, "providerMetadata": _who(key)}, key)

    def _whole(self, key: TextKey, content: tuple[ContentBlock, ...], seq: int) -> None:
        """A turn of which no delta is left to be shown."""
        turn = self._turns.setdefault(key, _Turn())
        for place, block in enumerate(content):
            match block:
                case TextBlock(text=words) if words:
                    kind: Kind = "text"
                case ThinkingBlock(thinking=words) if words:
                    kind = "reasoning"
                case _:
                    continue
            if not turn.parts or turn.parts[-1][0] != kind:
                self._start(turn, key, kind, f"{kind}-{seq}-{place}")
            self._writer.put({"type": f"{kind}-delta", "id": turn.parts[-1][1], "delta": words}, key)


def _who(key: TextKey, *, withdrawn: bool | None = None) -> dict[str, object]:
    return ours(
        stage=key.stage or None,
        agent=key.agent or None,
        turn=key.turn or None,
        call=key.call or None,
        withdrawn=withdrawn,
    )
