"""One claimed run, driven on whatever is away meanwhile; and the last word on one that cannot be driven."""

from __future__ import annotations

from dataclasses import replace

import runtime.errors as errors
from runtime.events.catalog import Event
from runtime.events.codec import UnknownEvent, UnreadableEvent
from runtime.events.fold import RunState
from runtime.executor.book import RunBook
from runtime.executor.decide import failure, unreadable
from runtime.executor.run import RunDriver, RunTools
from runtime.log.log import Run
from runtime.stream.emitter import Emitter
from runtime.telemetry import logger

_log = logger("executor")

AGAIN_S = 1.0
"""Pause before a run is driven on that stopped because the log, or a process it needs, was away."""


async def drive(driver: RunDriver, tools: RunTools, run: Run) -> None:
    """To the run's end, or until someone else has it; while our lease lives nobody else can, so what is away is waited for."""
    clock = tools.stages.clock
    while True:
        try:
            try:
                return await driver.drive()
            except errors.StoreUnavailable:
                raise
            except UnknownEvent as error:
                return await _refuse(tools, run, error)
            except Exception as error:  # a defect of ours: the run ends with words, the executor's other runs go on
                _log.exception("run %s met a defect", run.run_id)
                return await _fail(tools, run, error)
        except errors.StoreUnavailable as error:
            _log.warning("run %s waits: %s", run.run_id, error.message)
            await clock.sleep(AGAIN_S)
            await tools.stages.publisher.settled(run.run_id)


async def _fail(tools: RunTools, run: Run, error: Exception) -> None:
    words = f"An internal error ended the run ({type(error).__name__}); the log of the executor has the details."
    await _say(tools, run, failure(await _readable(tools, run), "internal", words, "executor", retryable=True))


async def _refuse(tools: RunTools, run: Run, error: UnknownEvent) -> None:
    """Do nothing in a run whose log cannot be read: what a newer version wrote waits for one, until its deadline."""
    now = tools.stages.clock.now()
    newer = not isinstance(error, UnreadableEvent)
    _log.error("run %s cannot be driven by version %s: %s", run.run_id, tools.code_version, error)
    event, until = unreadable(await _readable(tools, run), run, newer=newer, now=now)
    await _say(tools, run, event, until)


async def _readable(tools: RunTools, run: Run) -> RunState:
    """What the run's log says, as far as it can be read."""
    book = RunBook(tools.reader, run.run_id)
    try:
        return await book.refresh()
    except errors.StoreUnavailable:
        raise
    except Exception as error:
        _log.warning("run %s is read up to event %d only: %r", run.run_id, book.state.last_seq, error)
        return replace(book.state, run_id=run.run_id)


async def _say(tools: RunTools, run: Run, event: Event, wake_at: float | None = None) -> None:
    """The last word on a run that is not driven."""
    stages = tools.stages
    lane = stages.publisher.lane(run.run_id, run.epoch)
    try:
        await Emitter(lane, stages.chain, stages.clock, run.run_id).commit(event, wake_at=wake_at)
    except errors.StoreUnavailable:
        raise
    except errors.InternalError as refusal:
        _log.info("run %s could not be given %s here: %s", run.run_id, event.type, refusal.code)
    finally:
        stages.publisher.close(lane)
