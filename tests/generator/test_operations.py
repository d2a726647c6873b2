import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from jsonschema import Draft202012Validator
from starlette.routing import Route

from runtime.clock import ManualClock
from runtime.config import Settings
from runtime.generator.app import build_app
from runtime.ids import new_id
from tests.generator.memory_door import MemoryDoor


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


@pytest.fixture
async def http(tmp_path: Path) -> Any:
    app = build_app(
        MemoryDoor(ManualClock()),
        Settings(data_dir=tmp_path, model="offline"),
        clock=ManualClock(),
        new_id=new_id,
        team=tuple,
    )
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://localhost") as client:
        client.app = app  # type: ignore[attr-defined]
        yield client


async def test_openapi_describes_every_route_and_every_reference_resolves(http: Any) -> None:
    document = (await http.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1.")
    assert set(document["paths"]) == {route.path for route in http.app.routes if isinstance(route, Route)}
    names = set(re.findall(r"#/components/schemas/(\w+)", " ".join(references(document))))
    assert names <= set(document["components"]["schemas"])
    assert all(ref.startswith("#/components/schemas/") for ref in references(document))
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


async def test_every_operation_is_whole(http: Any) -> None:
    document = (await http.get("/openapi.json")).json()
    operations = [(path, op) for path, methods in document["paths"].items() for op in methods.values()]
    assert len({op["operationId"] for _, op in operations}) == len(operations)
    for path, op in operations:
        named = {p["name"] for p in op.get("parameters", []) if p["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", path))
        assert "500" in op["responses"]
        for status, response in op["responses"].items():
            assert response["description"]
            if int(status) >= 400 and op["operationId"] != "readyz":
                assert list(response["content"]) == ["application/problem+json"]


async def test_answers_fit_the_description(http: Any) -> None:
    document = (await http.get("/openapi.json")).json()
    created = await http.post("/v1/runs", json={"input": "Why?"})
    path = created.headers["location"]
    page = await http.get(path + "/events", headers={"Accept": "application/json"})
    for response, schema in (
        (created, "RunAcceptedBody"),
        (await http.get("/v1/runs"), "RunList"),
        (await http.get(path), "RunSnapshot"),
        (page, "EventPage"),
        (await http.post(path + "/cancel"), "CancelAccepted"),
        (await http.get("/healthz"), "Healthy"),
        (await http.get("/readyz"), "Readiness"),
        (await http.get("/nowhere"), "Problem"),
        (await http.post("/v1/runs", json={}), "Problem"),
    ):
        whole = {"$ref": f"#/components/schemas/{schema}", "components": document["components"]}
        Draft202012Validator(whole).validate(response.json())


async def test_description_of_a_new_run_refuses_what_the_server_refuses(http: Any) -> None:
    document = (await http.get("/openapi.json")).json()
    whole = {"$ref": "#/components/schemas/CreateRun", "components": document["components"]}
    for body in ({}, {"input": " "}, {"input": ""}, {"input": "a", "x": 1}, {"input": "a", "grace_s": -1}):
        assert not Draft202012Validator(whole).is_valid(body)
        assert (await http.post("/v1/runs", json=body)).status_code == 422
