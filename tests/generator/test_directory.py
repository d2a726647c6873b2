"""What there is, over HTTP; and a hidden tool stays hidden on every way events leave the door."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import ModuleType

import httpx2
import pytest

from runtime.agents.request import OfferedTool
from runtime.agents.spec import AgentSpec
from runtime.bootstrap.doors import ASK_AGAIN_S, FoundByAgents
from runtime.bootstrap.system import in_process
from runtime.clock import ManualClock
from runtime.config import McpServer, Settings
from runtime.errors import StoreUnavailable
from runtime.log.credentials import Key, new_key
from runtime.tools.tool import tool
from tests.examples.test_readme import SCRIPT


@tool(title="Working days", icon="📅", visible=["planner"])
def working_days(start: str, end: str) -> int:
    """Count secret days."""
    return 22


CALENDAR = AgentSpec(name="calendar", description="Counts.", instructions="Count.", tools=("working_days",))


@pytest.fixture
def module() -> str:
    made = ModuleType("hidden_calendar")
    vars(made).update(working_days=working_days, CALENDAR=CALENDAR)
    sys.modules[made.__name__] = made
    return made.__name__


async def served(tmp_path: Path, module: str, *roles: str) -> AsyncIterator[httpx2.AsyncClient]:
    settings = Settings(
        model="scripted", script=SCRIPT, modules=(module,), data_dir=tmp_path, log="memory:", viewer_roles=roles
    )
    async with in_process(settings) as system:
        transport = httpx2.ASGITransport(app=system.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as http:
            yield http


async def ways_out(http: httpx2.AsyncClient) -> dict[str, str]:
    """The same run as a stream, as pages and as a snapshot."""
    stream = await http.post("/v1/runs", json={"input": "How many?"}, headers={"Accept": "text/event-stream"})
    path = stream.headers["location"]
    pages = await http.get(f"{path}/events", headers={"Accept": "application/json"})
    again = await http.get(f"{path}/events", headers={"Accept": "text/event-stream"})
    snapshot = await http.get(path)
    return {"stream": stream.text, "pages": pages.text, "again": again.text, "snapshot": snapshot.text}


async def test_hidden_tool_leaves_on_no_way_and_ids_stay_gapless(tmp_path: Path, module: str) -> None:
    async for http in served(tmp_path, module):
        for way, text in (await ways_out(http)).items():
            assert "working_days" not in text, way
            assert "2026-03-31" not in text, f"{way}: nor its arguments"
            if way in ("stream", "again"):
                ids = [int(line[4:].split(".")[0]) for line in text.splitlines() if line.startswith("id: ")]
                assert ids == list(range(1, len(ids) + 1))
                assert '"type":"hidden"' in text
                assert "event: system" in text


async def test_viewer_with_the_role_sees_it(tmp_path: Path, module: str) -> None:
    async for http in served(tmp_path, module, "planner"):
        ways = await ways_out(http)
        for way in ("stream", "pages", "again"):
            assert '"name":"working_days"' in ways[way], way
            assert '"icon":"📅"' in ways[way]
            assert '"type":"hidden"' not in ways[way]


async def test_tools_and_agents_are_listed(tmp_path: Path, module: str) -> None:
    async for http in served(tmp_path, module, "planner"):
        tools = {one["name"]: one for one in (await http.get("/v1/tools")).json()["tools"]}
        assert tools["working_days"]["title"] == "Working days"
        assert tools["working_days"]["icon"] == "📅"
        assert tools["working_days"]["agents"] == ["calendar"]
        assert tools["working_days"]["input_schema"]["required"] == ["start", "end"]
        assert tools["calculate"] | {"input_schema": None, "description": ""} == {
            "name": "calculate",
            "title": "Calculator",
            "description": "",
            "icon": "",
            "kind": "read",
            "input_schema": None,
            "agents": ["analysis"],
        }
        agents = {one["name"]: one for one in (await http.get("/v1/agents")).json()["agents"]}
        assert agents["calendar"] == {
            "name": "calendar",
            "description": "Counts.",
            "role": "stage",
            "tools": ["working_days"],
            "models": ["scripted:add_agent.toml"],
        }
        assert agents["planner"]["role"] == "planning"


async def test_hidden_tool_is_not_listed(tmp_path: Path, module: str) -> None:
    async for http in served(tmp_path, module):
        assert "working_days" not in (await http.get("/v1/tools")).text
        assert "working_days" not in (await http.get("/v1/agents")).text
        assert (await http.post("/v1/tools")).status_code == 405


async def test_two_viewers_of_one_run_see_what_their_own_roles_may(tmp_path: Path, module: str) -> None:
    settings = Settings(
        model="scripted", script=SCRIPT, modules=(module,), data_dir=tmp_path, log="memory:", auth="keys"
    )
    async with in_process(settings) as system:

        def client(roles: tuple[str, ...]) -> tuple[Key, httpx2.AsyncClient]:
            key, text = new_key(
                tenant_id="t", name="k", scopes=("runs:read", "runs:write"), roles=roles, now=1.0, expires_at=None,
                random=lambda size: (str(roles)[:1] + str(len(roles))).encode().ljust(size, b"x"),
            )  # fmt: skip
            transport = httpx2.ASGITransport(app=system.app)
            headers = {"Authorization": f"Bearer {text}"}
            return key, httpx2.AsyncClient(transport=transport, base_url="http://api.example", headers=headers)

        insider, outsider = client(("planner",)), client(())
        for key, _ in (insider, outsider):
            await system.hub.add_key(key)
        path = (
            await insider[1].post("/v1/runs", json={"input": "?"}, headers={"Accept": "text/event-stream"})
        ).headers["location"]
        for accept in ("text/event-stream", "application/json"):
            seen = [
                (await http.get(f"{path}/events", headers={"Accept": accept})).text for _, http in (insider, outsider)
            ]
            assert [text.count("working_days") > 0 for text in seen] == [True, False]
            assert ['"type":"hidden"' in text for text in seen] == [False, True]
        listed = [(await http.get("/v1/tools")).text for _, http in (insider, outsider)]
        assert ["working_days" in text for text in listed] == [True, False]


FAKE_SERVER = Path(__file__).parents[1] / "fakes" / "mcp_server.py"


async def test_tools_of_servers_that_agents_have_found_are_listed_with_all_that_is_known(tmp_path: Path) -> None:
    server = McpServer(command=sys.executable, args=(str(FAKE_SERVER), "stdio"), agents=("research", "writing"))
    settings = Settings(model="scripted", script=SCRIPT, data_dir=tmp_path, log="memory:", mcp_servers={"fake": server})
    async with in_process(settings) as system:
        transport = httpx2.ASGITransport(app=system.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as http:
            tools = {tool["name"]: tool for tool in (await http.get("/v1/tools")).json()["tools"]}
    add = tools["fake__add"]
    assert (add["title"], add["description"], add["kind"]) == ("Sum", "Add two numbers.", "read")
    assert add["agents"] == ["research", "writing"]
    assert set(add["input_schema"]["properties"]) == {"a", "b"}
    assert "calculate" in tools


class Owner:
    """An agent that may be away."""

    def __init__(self, *names: str) -> None:
        self.names, self.asked, self.away = names, 0, False

    async def offered(self) -> tuple[OfferedTool, ...]:
        self.asked += 1
        if self.away:
            raise StoreUnavailable("there is no such actor just now")
        return tuple(OfferedTool(name, name.upper(), "Does.", "", "read", {"type": "object"}) for name in self.names)


async def test_doors_know_what_agents_have_found_last_and_ask_again_after_a_while(tmp_path: Path, module: str) -> None:
    servers = {"crm": McpServer(command="/nonexistent", agents=("research", "calendar"))}
    settings = Settings(model="offline", modules=(module,), data_dir=tmp_path, mcp_servers=servers)
    owners = {"research": Owner("crm__find", "calculate"), "calendar": Owner("crm__find", "crm__put", "working_days")}
    clock, named = ManualClock(), list[str]()

    def ports(names: Sequence[str]) -> dict[str, Owner]:
        named.extend(names)
        return owners

    found = FoundByAgents(settings, ports, clock)
    known = {tool.name: tool.agents for tool in await found()}
    assert set(named) == {"research", "calendar"}
    assert known == {"crm__find": ["calendar", "research"], "crm__put": ["calendar"]}, "no tool of another kind"
    owners["calendar"].away, owners["research"].names = True, ()
    assert {tool.name for tool in await found()} == set(known)
    assert owners["research"].asked == 1
    await clock.sleep(ASK_AGAIN_S)
    assert {tool.name: tool.agents for tool in await found()} == {"crm__find": ["calendar"], "crm__put": ["calendar"]}
    assert owners["research"].asked == 2


async def test_a_system_without_servers_asks_nobody(tmp_path: Path) -> None:
    owner = Owner("crm__find")
    found = FoundByAgents(Settings(model="offline", data_dir=tmp_path), lambda _: {"research": owner}, ManualClock())
    assert (await found(), owner.asked) == ([], 0)
