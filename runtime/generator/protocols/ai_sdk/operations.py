"""The AI SDK's part of the table of operations."""

from __future__ import annotations

from runtime.generator.accept import JSON, SSE
from runtime.generator.contract import CancelAccepted
from runtime.generator.operations import Answer, Operation, Parameter
from runtime.generator.protocols.ai_sdk.requests import ChatRequest
from runtime.generator.protocols.ai_sdk.routes import MAX_MESSAGES, ChatMessages, ChatRoutes

_CHAT_ID = Parameter(
    "chat_id", "path", "The chat: a conversation.", {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}
)
_LIMIT = Parameter("limit", "query", "How many questions.", {"type": "integer", "minimum": 1, "maximum": MAX_MESSAGES})
_BEFORE = Parameter("before", "query", "next_before of the page before.", {"type": "string", "format": "uuid"})
_HEADERS = ("Location", "X-Run-Id", "x-vercel-ai-ui-message-stream")


def chat_operations(chats: ChatRoutes) -> tuple[Operation, ...]:
    """The operations below ``/v1/ai-sdk/chat``."""
    stream = Answer(200, "A UI message stream.", {SSE: None}, _HEADERS)
    unknown = Answer(204, "The chat has no run.", {})
    stopped = Answer(202, "The request is recorded; what was completed stays.", {JSON: CancelAccepted})
    shown = Answer(200, "The messages.", {JSON: ChatMessages})
    path = "/v1/ai-sdk/chat"
    return (
        Operation(
            "POST",
            path,
            "chat",
            "Answer a chat's last message (AI SDK)",
            "runs:write",
            chats.post,
            (stream,),
            (404, 406, 408, 409, 413, 415, 422, 429, 503),
            (),
            ChatRequest,
        ),
        Operation(
            "GET",
            path + "/{chat_id}/stream",
            "resumeChat",
            "The stream of a chat's newest answer, from its start (AI SDK)",
            "runs:read",
            chats.resume,
            (stream, unknown),
            (406, 422, 429, 503),
            (_CHAT_ID,),
        ),
        Operation(
            "POST",
            path + "/{chat_id}/stop",
            "stopChat",
            "End a chat's run (AI SDK)",
            "runs:cancel",
            chats.stop,
            (stopped,),
            (404, 409, 422, 503),
            (_CHAT_ID,),
        ),
        Operation(
            "GET",
            path + "/{chat_id}/messages",
            "listChatMessages",
            "A chat's messages (AI SDK)",
            "runs:read",
            chats.messages,
            (shown,),
            (400, 422, 503),
            (_CHAT_ID, _LIMIT, _BEFORE),
        ),
    )
