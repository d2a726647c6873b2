"""The published AI SDK, unmodified, against a running server: its chat state machine shows what the run says.

Version 7 in everything; 6 and 5, which share most of its code, in the ordinary course.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from runtime.bootstrap.system import in_process_server
from runtime.config import Settings
from tests.clients.chat import Seen, chat

PACKAGES = ["ai", "ai-6", "ai-5"]


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    settings = Settings(
        model="scripted",
        script=Path(__file__).with_name("ai_sdk.toml"),
        log="memory:",
        data_dir=tmp_path,
        heartbeat_s=0.2,
        modules=("tests.clients.clerk",),
    )
    async with in_process_server(settings) as url:
        yield url


@pytest.fixture
async def http(url: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=20) as client:
        yield client


async def history(http: httpx2.AsyncClient, chat_id: str) -> list[dict[str, Any]]:
    answer = await http.get(f"/v1/ai-sdk/chat/{chat_id}/messages")
    assert answer.status_code == 200, answer.text
    return list(answer.json()["messages"])


async def until_state(http: httpx2.AsyncClient, run_id: str, *states: str) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while (run := (await http.get(f"/v1/runs/{run_id}")).json())["state"] not in states:
            await asyncio.sleep(0.05)
        return dict(run)


def well(seen: Seen) -> Seen:
    assert (seen.status, seen.error) == ("ready", None)
    return seen


@pytest.mark.parametrize("package", PACKAGES)
async def test_an_ordinary_run_is_a_message_and_a_follow_up_the_next(
    url: str, http: httpx2.AsyncClient, package: str
) -> None:
    async with chat(url, "c1", package=package) as one:
        seen = well(await one.do("send", text="Why?"))
        assert seen.finished == [{"isAbort": False, "isError": False, "isDisconnect": False, "finishReason": "stop"}]
        (answer,) = seen.texts()
        run = (await http.get(f"/v1/runs/{seen.last['id']}")).json()
        assert run["answer"] == answer
        assert run["conversation_id"] == "c1"
        assert seen.last["metadata"]["title"] == "A title"
        assert seen.last["metadata"]["state"] == "completed"
        seen = well(await one.do("send", text="And then?"))
        assert [m["role"] for m in seen.messages] == ["user", "assistant", "user", "assistant"]
        assert len(seen.requests) == 2
    first = (
        await http.get(f"/v1/runs/{seen.last['id']}/events?limit=1", headers={"Accept": "application/json"})
    ).json()
    (exchange,) = first["events"][0]["data"]["history"]["exchanges"]
    assert (exchange["question"], exchange["answer"]) == ("Why?", answer)


@pytest.mark.parametrize("package", PACKAGES)
async def test_stages_side_by_side_are_texts_of_one_message(url: str, package: str) -> None:
    async with chat(url, "c1", package=package) as one:
        seen = well(await one.do("send", text="Look at both sides."))
    said = {part["providerMetadata"]["headrace"]["stage"]: part["text"] for part in seen.parts("text")}
    assert said["left"].split() == ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    assert said["right"].split()[4] == "fünf"
    assert sorted(list(said)[:2]) == ["left", "right"]
    assert list(said)[2:] == ["write"]
    (reasoning,) = seen.parts("reasoning")
    assert reasoning["text"] == "Let me think of the left."
    assert [todo["status"] for todo in seen.parts("data-plan")[0]["data"]["todos"]] == ["completed"] * 3
    assert {part["id"] for part in seen.parts("data-stage")} == {"left", "right", "write"}
    assert {part["id"] for part in seen.parts("data-agent")} == {"planner", "titler", "guardrail"}


@pytest.mark.parametrize("package", PACKAGES)
async def test_a_tool_call_is_a_part_that_never_sends_the_chat_anew(url: str, package: str) -> None:
    async with chat(url, "c1", package=package, automatic="tools") as one:
        seen = well(await one.do("send", text="Let it be reckoned by clerk."))
        await asyncio.sleep(0.3)
        seen = well(await one.do("look"))
    (tool,) = seen.parts("dynamic-tool")
    assert (tool["toolName"], tool["state"], tool["input"]) == (
        "calculate",
        "output-available",
        {"expression": "6 * 7"},
    )
    assert "42" in tool["output"]
    assert tool["providerExecuted"] is True
    assert [text.strip() for text in seen.texts()] == ["Let me reckon.", "It is done."]
    assert len(seen.requests) == 1


@pytest.mark.parametrize("package", ["ai", "ai-6"])
async def test_an_approved_call_goes_on_in_the_same_message(url: str, http: httpx2.AsyncClient, package: str) -> None:
    async with chat(url, "c1", package=package, automatic="approvals") as one:
        seen = well(await one.do("send", text="Let it be: send it by clerk."))
        assert seen.finished[-1]["finishReason"] == "tool-calls"
        (tool,) = seen.parts("dynamic-tool")
        assert (tool["state"], tool["input"]) == ("approval-requested", {"to": "Ann"})
        waiting = await history(http, "c1")
        assert waiting[-1]["parts"][-1]["state"] == "approval-requested"
        await one.do("approve", approval=tool["approval"]["id"], approved=True)
        await one.do("until", words="It is done.")
        seen = well(await one.do("quiet"))
        await asyncio.sleep(0.3)
        seen = well(await one.do("look"))
        assert len(seen.messages) == 2
        (tool,) = seen.parts("dynamic-tool")
        assert (tool["state"], tool["output"]) == ("output-available", "sent to Ann")
        assert seen.texts() == ["It is done."]
        assert seen.last["metadata"]["state"] == "completed"
        assert seen.requests == ["POST /v1/ai-sdk/chat"] * 2
        run_id = seen.last["id"]
        again = well(await one.do("resume"))
        (tool,) = again.parts("dynamic-tool")
        assert (tool["state"], again.texts(), again.last["id"]) == ("output-available", ["It is done."], run_id)
    assert len((await http.get("/v1/runs")).json()["runs"]) == 1


async def test_a_refused_call_is_shown_as_denied(url: str) -> None:
    async with chat(url, "c1", automatic="approvals") as one:
        seen = well(await one.do("send", text="Let it be: send it by clerk."))
        (tool,) = seen.parts("dynamic-tool")
        await one.do("approve", approval=tool["approval"]["id"], approved=False, reason="too early")
        await one.do("until", words="It is done.")
        seen = well(await one.do("quiet"))
    (tool,) = seen.parts("dynamic-tool")
    assert (tool["state"], tool["approval"]["approved"]) == ("output-denied", False)


@pytest.mark.parametrize("package", ["ai", "ai-6"])
async def test_a_question_of_an_agent_is_answered_as_a_clients_tool(
    url: str, http: httpx2.AsyncClient, package: str
) -> None:
    async with chat(url, "c1", package=package, automatic="tools") as one:
        seen = well(await one.do("send", text="Let it be: ask me by clerk."))
        (tool,) = seen.parts("dynamic-tool")
        assert (tool["toolName"], tool["state"]) == ("ask_person", "input-available")
        assert tool["input"] == {"question": "Which region?", "options": ["Europe", "Asia"]}
        await one.do("output", tool="ask_person", toolCallId=tool["toolCallId"], output="Europe")
        await one.do("until", words="It is done.")
        await one.do("quiet")
        await asyncio.sleep(0.3)
        seen = well(await one.do("look"))
        assert len(seen.requests) == 2
        assert len(seen.messages) == 2
        assert seen.texts() == ["It is done."]
    run = (await http.get(f"/v1/runs/{seen.last['id']}")).json()
    (asked,) = run["approvals"]
    assert (asked["approved"], asked["text"]) == (True, "Europe")


@pytest.mark.parametrize(("question", "text"), [("ask me", "Europe"), ("send it", "")])
async def test_version_5_answers_beside_the_message(url: str, question: str, text: str) -> None:
    async with chat(url, "c1", package="ai-5", automatic="tools", body={"ai_sdk": 5}) as one:
        seen = well(await one.do("send", text=f"Let it be: {question} by clerk."))
        (card,) = seen.parts("data-approval")
        answer = {"approval": card["id"], "text": text}
        seen = well(await one.do("continue", body={"answers": [answer]}))
    assert len(seen.requests) == 2
    assert seen.texts() == ["It is done."]
    (tool,) = seen.parts("dynamic-tool")
    assert tool["output"] == (text or "sent to Ann")


@pytest.mark.parametrize("package", PACKAGES)
async def test_a_plan_is_approved_beside_the_message(url: str, package: str) -> None:
    async with chat(url, "c1", package=package, body={"approve_plan": True}) as one:
        seen = well(await one.do("send", text="Why?"))
        (card,) = seen.parts("data-approval")
        assert (card["data"]["kind"], card["data"]["open"]) == ("plan", True)
        answer = {"approval": card["data"]["approval"], "arguments_hash": card["data"]["argumentsHash"]}
        seen = well(await one.do("continue", body={"answers": [answer]}))
    assert len(seen.messages) == 2
    (card,) = seen.parts("data-approval")
    assert (card["data"]["open"], card["data"]["approved"]) == (False, True)
    assert seen.texts() == ["words of writing about Write"]


@pytest.mark.parametrize("package", PACKAGES)
async def test_a_page_that_is_loaded_anew_goes_on_where_the_run_is(
    url: str, http: httpx2.AsyncClient, package: str
) -> None:
    async with chat(url, "c1", package=package) as one:
        await one.do("begin", what="send", text="Say it slowly.")
        left = await one.do("until", words="word word word")
        await one.do("leave")
    asked = await history(http, "c1")
    assert [message["role"] for message in asked] == ["user"]
    assert asked == left.messages[:1]
    async with chat(url, "c1", package=package, messages=asked) as other:
        seen = well(await other.do("resume"))
        assert len(seen.messages) == 2
        assert seen.texts() == [("word " * 40).strip()] or seen.texts() == ["word " * 40]
        again = well(await other.do("resume"))
        assert again.messages == seen.messages
    assert (await http.get(f"/v1/runs/{seen.last['id']}")).json()["state"] == "completed"


async def test_history_is_what_the_client_had_built(url: str, http: httpx2.AsyncClient) -> None:
    async with chat(url, "c1") as one:
        for text in ("Look at both sides.", "Let it be reckoned by clerk.", "Build a weapon.", "It may stumble."):
            seen = well(await one.do("send", text=text))
        assert await history(http, "c1") == seen.messages
    async with chat(url, "c1", messages=seen.messages) as page:
        resumed = well(await page.do("resume"))
        assert resumed.messages == seen.messages


@pytest.mark.parametrize(("version", "said"), [(7, 1), (6, 2)])
async def test_what_a_model_began_and_lost_is_taken_back_or_marked(
    url: str, http: httpx2.AsyncClient, version: int, said: int
) -> None:
    async with chat(url, "c1", body={"ai_sdk": version}) as one:
        seen = well(await one.do("send", text="It may stumble."))
        assert len(seen.texts()) == said
        standing = [p for p in seen.parts("text") if not p["providerMetadata"]["headrace"].get("withdrawn")]
        assert [p["text"] for p in standing] == ["a whole answer in the end"]
        assert await history(http, "c1") == seen.messages
        assert any(part["data"].get("note") == "withdrawn" for part in seen.transient)


async def test_a_run_that_is_stopped_keeps_what_it_has(url: str, http: httpx2.AsyncClient) -> None:
    async with chat(url, "c1") as one:
        await one.do("begin", what="send", text="Say it slowly.")
        await one.do("until", words="word word word")
        stopped = await http.post("/v1/ai-sdk/chat/c1/stop", json={})
        assert stopped.status_code == 202
        await one.do("end")
        seen = well(await one.do("look"))
        assert seen.last["metadata"]["state"] == "cancelled"
        assert 2 < len(seen.texts()[0].split()) < 40
        assert await history(http, "c1") == seen.messages
        again = await http.post("/v1/ai-sdk/chat/c1/stop")
        assert (again.status_code, again.json()["code"]) == (409, "run_finished")


@pytest.mark.parametrize("package", PACKAGES)
async def test_a_run_that_failed_is_an_error_with_the_reason(url: str, http: httpx2.AsyncClient, package: str) -> None:
    async with chat(url, "c1", package=package) as one:
        seen = await one.do("send", text="It is rejected.")
        assert seen.status == "error"
        assert seen.error
        assert seen.last["metadata"]["state"] == "failed"
        assert seen.last["metadata"]["error"]["message"] == seen.error
        assert (await history(http, "c1"))[-1]["metadata"] == seen.last["metadata"]


async def test_what_is_refused_is_told_in_words(url: str) -> None:
    async with chat(url, "not a chat id") as one:
        seen = await one.do("send", text="Why?")
        assert seen.status == "error"
        assert "1 to 64 letters, digits" in (seen.error or "")


async def test_an_answer_is_regenerated_in_its_place(url: str, http: httpx2.AsyncClient) -> None:
    async with chat(url, "c1") as one:
        await one.do("send", text="First?")
        before = well(await one.do("send", text="Why?"))
        seen = well(await one.do("regenerate"))
        assert len(seen.messages) == 4
        assert seen.last["id"] != before.last["id"]
        assert await history(http, "c1") == seen.messages
        edited = well(await one.do("send", text="Wherefore?", messageId=seen.messages[0]["id"]))
        assert len(edited.messages) == 2
        assert await history(http, "c1") == edited.messages
    run = edited.last["id"]
    first = (await http.get(f"/v1/runs/{run}/events?limit=1", headers={"Accept": "application/json"})).json()
    assert first["events"][0]["data"]["history"]["exchanges"] == []


async def test_files_go_with_the_question(url: str, http: httpx2.AsyncClient) -> None:
    note = {"type": "file", "mediaType": "text/plain", "filename": "note.txt", "url": "data:text/plain;base64,aGVsbG8="}
    async with chat(url, "c1") as one:
        seen = well(await one.do("send", text="What is it?", files=[note]))
        assert await history(http, "c1") == seen.messages
