import pytest

from runtime.generator.accept import JSON, SSE, choose


@pytest.mark.parametrize(
    ("accept", "offers", "chosen"),
    [
        ([], (JSON, SSE), JSON),
        ([""], (JSON, SSE), JSON),
        (["*/*"], (JSON, SSE), JSON),
        (["*/*"], (SSE, JSON), SSE),
        (["text/event-stream"], (JSON, SSE), SSE),
        (["TEXT/Event-Stream; charset=utf-8"], (JSON, SSE), SSE),
        (["text/event-stream, application/json"], (JSON, SSE), SSE),
        (["application/json, text/event-stream"], (SSE, JSON), JSON),
        (["application/json;q=0.5, text/event-stream"], (JSON, SSE), SSE),
        (["application/json", "text/event-stream;q=0.9"], (SSE, JSON), JSON),
        (["text/*"], (JSON, SSE), SSE),
        (["text/event-stream;q=0, */*"], (SSE, JSON), JSON),
        (["application/xml"], (JSON, SSE), None),
        (["text/event-stream;q=0"], (SSE,), None),
        (["application/json;q=nan"], (JSON,), None),
    ],
)
def test_the_preferred_offer(accept: list[str], offers: tuple[str, ...], chosen: str | None) -> None:
    assert choose(accept, offers) == chosen
