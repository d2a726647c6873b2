"""llama.cpp, through xllamacpp 2026.10.11549: the only module that touches it.

Found out by trying, and not to be read in its documentation:

- a callback that raises is ignored silently, so ours never raises;
- ``return_progress`` calls back between batches of the prompt, so that small batches make even prefill cancellable
  (128 tokens, 1.5 s on one core; one run: reading is 7 % slower than with 512);
- every ``Server`` also opens an HTTP port of llama.cpp's own on loopback: it gets a random key nobody knows.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

from runtime.errors import ConfigurationError, ModelProtocolError, ModelRequestRejected
from runtime.llm.local.engine import Emit, End, Job, Prefill, Token

BATCH_TOKENS = 128
"""Prompt tokens read between two chances to cancel; measured: 95 tokens/s on one core, 102 with 512."""
CACHE_MIB = 256
"""Memory for prompts of earlier jobs: titles and searches start with the same words (issue 2)."""


class LlamaEngine:
    """An :class:`runtime.llm.local.engine.Engine` over a GGUF file."""

    def __init__(self, gguf: Path, n_ctx: int) -> None:
        """Load the weights; blocks for about a second. Raises :class:`ConfigurationError` when that is not possible."""
        self._server = _load(gguf, n_ctx)

    def generate(self, job: Job, emit: Emit) -> None:
        """See :class:`runtime.llm.local.engine.Engine`."""
        reading = _Reading(emit)
        try:
            self._server.handle_chat_completions(_request(job), reading.take)
        except ValueError as error:
            raise ModelRequestRejected(f"the local model cannot work on this request: {error}") from error
        except RuntimeError as error:
            raise ModelProtocolError(f"llama.cpp failed: {error}") from error
        reading.close()

    def close(self) -> None:
        """See :class:`runtime.llm.local.engine.Engine`."""
        self._server = None


class _Reading:
    """Reads llama.cpp's chunks, keeps what they say until it is whole, and passes pieces on."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._stopped = False
        self._failure: Exception | None = None
        self._reason = ""
        self._ended = False

    # Any: xllamacpp has no types; the chunks are JSON objects in the form of OpenAI's chat completions.
    def take(self, chunk: dict[str, Any]) -> bool:
        """The callback: True stops the generation."""
        try:
            self._take(chunk)
        except Exception as failure:
            self._failure = failure
        return self._stopped or self._failure is not None

    def close(self) -> None:
        """Raise what went wrong, if anything did."""
        if self._failure is not None:
            raise self._failure
        if not self._ended and not self._stopped:
            raise ModelProtocolError("llama.cpp ended without saying why")

    def _take(self, chunk: dict[str, Any]) -> None:
        if "error" in chunk:
            raise _error_of(chunk["error"])
        if "prompt_progress" in chunk:
            progress = chunk["prompt_progress"]
            self._pass(Prefill(int(progress["processed"]), int(progress["total"])))
            return
        for choice in chunk["choices"]:
            self._reason = choice["finish_reason"] or self._reason
            if text := choice["delta"].get("content"):
                self._pass(Token(text))
        if usage := chunk.get("usage"):
            self._ended = True
            counts = int(usage["prompt_tokens"]), int(usage["completion_tokens"])
            self._pass(End("length" if self._reason == "length" else "stop", *counts))

    def _pass(self, piece: Prefill | Token | End) -> None:
        if not self._stopped and not self._emit(piece):
            self._stopped = True


def _load(gguf: Path, n_ctx: int) -> Any:  # Any: xllamacpp has no types
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # idle threads would spin on cores others need (issue 2)
    try:
        import xllamacpp  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError as error:
        raise ConfigurationError("model 'local' needs llama.cpp: pip install \"headrace[local]\"") from error
    if not gguf.is_file():
        raise ConfigurationError(f"no model file at {gguf}: name one with --gguf, or run headrace models fetch smollm2")
    try:
        return xllamacpp.Server(_parameters(xllamacpp, gguf, n_ctx))
    except (RuntimeError, ValueError) as error:
        raise ConfigurationError(f"llama.cpp cannot load {gguf}: {error}; is it a whole GGUF model file?") from error


def _parameters(xllamacpp: Any, gguf: Path, n_ctx: int) -> Any:
    """One slot, threads = cores - 1, no port usable by others; the numbers are measured (issue 2)."""
    threads = max(1, (os.cpu_count() or 2) - 1)
    params = xllamacpp.CommonParams()
    params.model.path = str(gguf)
    params.n_ctx = n_ctx
    params.n_parallel = 1
    params.kv_unified = True
    params.cache_ram_mib = CACHE_MIB
    params.n_batch = params.n_ubatch = BATCH_TOKENS
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.fit_params = False  # would shrink n_ctx behind our back
    params.verbosity = -1
    params.api_keys = [secrets.token_urlsafe(32)]
    params.ui = params.endpoint_slots = False
    params.force_pure_content_parser = True  # the answer's form is our grammar's affair, not the template's
    return params


def _request(job: Job) -> dict[str, Any]:
    body: dict[str, Any] = {
        "messages": [{"role": line.role, "content": line.content} for line in job.lines],
        "max_tokens": job.max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
        "return_progress": True,
        "reasoning_format": "none",
        "chat_template_kwargs": {"enable_thinking": False},
        "temperature": job.temperature,
        "top_p": job.top_p,
        "top_k": job.top_k,
        "repeat_penalty": job.repeat_penalty,
    }
    return body if job.grammar is None else body | {"grammar": job.grammar}


def _error_of(error: dict[str, Any]) -> Exception:
    if error.get("type") == "exceed_context_size_error":
        return ModelRequestRejected(
            f"prompt is too long: {error['n_prompt_tokens']} tokens > {error['n_ctx']} of the local model's context"
        )
    if error.get("code") == 400:
        return ModelRequestRejected(str(error.get("message", "the local model rejected the request")))
    return ModelProtocolError(f"llama.cpp failed: {error.get('message', error)}")
