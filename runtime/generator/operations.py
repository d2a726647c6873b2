"""One table drives the routes and the OpenAPI file: what an operation is, and its description in OpenAPI 3.1."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.types import ASGIApp

from runtime import __version__
from runtime.generator.accept import JSON, PROBLEM, SSE
from runtime.generator.contract import Problem
from runtime.generator.principal import Access

ALWAYS = (400, 414, 421, 431, 500)
"""What any request may be refused with, whatever its path."""

WITH_CREDENTIAL = (401, 403, 429, 503)
"""What a request may be refused with where it has to say who asks, and may not ask too often."""
UNKNOWN_QUERY = 422
"""For a query with names that the operation does not have (SECURITY.md 1, "Queries"); public ones are for every link."""

SSE_EVENT = {
    "type": "object",
    "description": "One server-sent event; ``data`` is JSON.",
    "properties": {
        "id": {"type": "string"},
        "event": {"type": "string"},
        "data": {"type": "string", "contentMediaType": "application/json"},
        "retry": {"type": "integer"},
    },
}
"""OpenAPI 3.1 has no words for a stream; those of 3.2 describe its items like this."""

Handler = Callable[[Request], Awaitable[ASGIApp]]
"""Takes a request, gives the response; raises what ``problems`` puts into words."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A path, query or header parameter."""

    name: str
    where: str
    description: str
    schema: Mapping[str, object]

    def described(self) -> dict[str, object]:
        return {
            "name": self.name,
            "in": self.where,
            "required": self.where == "path",
            "description": self.description,
            "schema": dict(self.schema),
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """A way an operation succeeds. ``content``: media type -> model, or None for text that no model describes."""

    status: int
    description: str
    content: Mapping[str, type[BaseModel] | None]
    headers: tuple[str, ...] = ()

    def described(self) -> dict[str, object]:
        content = {media: {"schema": _schema(media, model)} for media, model in self.content.items()}
        described: dict[str, object] = {"description": self.description}
        if content:
            described["content"] = content
        if self.headers:
            described["headers"] = {name: {"schema": {"type": "string"}} for name in self.headers}
        return described


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    name: str
    summary: str
    access: Access
    handler: Handler
    answers: tuple[Answer, ...]
    refusals: tuple[int, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    body: type[BaseModel] | None = None
    body_required: bool = True

    @property
    def queries(self) -> frozenset[str] | None:
        """The names its query may have; None: any, since it is for everybody and every link."""
        if self.access == "public":
            return None
        return frozenset(parameter.name for parameter in self.parameters if parameter.where == "query")

    def described(self, *, anyone: bool = False) -> dict[str, object]:
        """The OpenAPI operation object; ``anyone`` may ask without a credential (development mode)."""
        responses: dict[str, object] = {str(answer.status): answer.described() for answer in self.answers}
        asked = () if self.access == "public" else (*WITH_CREDENTIAL, UNKNOWN_QUERY)
        for status in sorted({*self.refusals, *asked, *ALWAYS}):
            content = {PROBLEM: {"schema": _schema(PROBLEM, Problem)}}
            responses.setdefault(str(status), {"description": HTTPStatus(status).phrase, "content": content})
        described: dict[str, object] = {"operationId": self.name, "summary": self.summary, "responses": responses}
        described["security"] = [] if self.access == "public" else [*([{}] * anyone), {"credential": [self.access]}]
        if self.parameters:
            described["parameters"] = [parameter.described() for parameter in self.parameters]
        if self.body is not None:
            described["requestBody"] = {
                "required": self.body_required,
                "content": {JSON: {"schema": _schema(JSON, self.body)}},
            }
        return described


def by_path(operations: Sequence[Operation]) -> dict[str, dict[str, Operation]]:
    """The table as path -> method -> operation."""
    paths: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = operation
    return paths


def openapi(operations: Sequence[Operation], *, anyone: bool = False) -> dict[str, Any]:
    """The OpenAPI 3.1 document of the table; Any because it is JSON. ``anyone``: no credential is asked for."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Headrace",
            "version": __version__,
            "description": "Streaming agents: every run is a durable log of typed events, read live over SSE.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {
            path: {method.lower(): operation.described(anyone=anyone) for method, operation in methods.items()}
            for path, methods in by_path(operations).items()
        },
        "components": {
            "schemas": _components(operations),
            "securitySchemes": {
                "credential": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key (hr_...) or a JSON Web Token; the words name the scope it needs. None in development mode.",
                }
            },
        },
    }


def _components(operations: Sequence[Operation]) -> dict[str, Any]:
    received: set[type[BaseModel]] = {operation.body for operation in operations if operation.body is not None}
    contents = (model for o in operations for answer in o.answers for model in answer.content.values())
    sent: set[type[BaseModel]] = {model for model in contents if model is not None}
    models: list[type[BaseModel]] = sorted({*received, *sent, Problem}, key=lambda model: model.__name__)
    _, schema = models_json_schema(
        [(model, "validation" if model in received else "serialization") for model in models],
        ref_template="#/components/schemas/{model}",
    )
    return dict(schema["$defs"])


def _schema(media: str, model: type[BaseModel] | None) -> dict[str, object]:
    if model is not None:
        return {"$ref": f"#/components/schemas/{model.__name__}"}
    return dict(SSE_EVENT) if media == SSE else {"type": "string"}
