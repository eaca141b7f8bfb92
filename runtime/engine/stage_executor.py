"""StageExecutor: runs one stage for the requests that wait for it and those in its batch."""

import logging
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic
from typing import Any

from bark_onnx.graphs.contract import Stage
from bark_onnx.graphs.voices.voice import Tokens
from bark_onnx.runtime.engine.batch import Batch, BatchEntry, GroupedBatch
from bark_onnx.runtime.engine.clients import Client, ClientQueue
from bark_onnx.runtime.engine.continuous_batch import ContinuousBatch
from bark_onnx.runtime.engine.future import SpeechFuture
from bark_onnx.runtime.inference.codec import bucket, run_codec
from bark_onnx.runtime.inference.fine import kind_of_fine_pass, run_fine_passes
from bark_onnx.runtime.inference.models import StageModels
from bark_onnx.runtime.inference.pipeline import SpeechGenerator, StageCall

_log = logging.getLogger(__name__)

BATCHED_STAGES: tuple[Stage, ...] = ("semantic", "coarse")  # sequences share their decode steps


@dataclass(eq=False)
class EngineRequest:
    """A request inside the engine."""

    future: SpeechFuture
    generator: SpeechGenerator
    group: "RequestGroup"
    client: Client
    keepalive: object  # referenced until the request is done
    stage_call: StageCall | None = None  # current call; None before the request begins
    executor: "StageExecutor | None" = None  # where it waits or runs; None while the group holds it
    batch_entry: BatchEntry[Any] | None = None  # None while it waits for a slot

    def resolve(self, outcome: Any) -> None:
        """Resolve the future; see `SpeechFuture.resolve`."""
        self.future.timings = replace(self.future.timings, finished=monotonic())
        try:
            self.future.resolve(outcome)
        except BaseException:  # a callback that raises SystemExit does not end the engine
            _log.exception("A callback failed")
        self.keepalive = None


class RequestGroup:
    """The requests of one call: a barrier before the coarse stage, the longest one.

    A decode step costs little more for several sequences than for one. The caller waits for all of
    its requests, so starting that stage together delays none of the results and shares more steps.
    """

    def __init__(self) -> None:
        self.pending: set[EngineRequest] = set()  # have not reached the barrier
        self._blocked: list[EngineRequest] = []  # wait at the barrier

    def reach_barrier(self, request: EngineRequest) -> list[EngineRequest]:
        """Block a request that is ready for the coarse stage; return those that may start it."""
        self._blocked.append(request)
        return self._release(request)

    def drop(self, request: EngineRequest) -> list[EngineRequest]:
        """Remove a request that has ended; return those that may start the coarse stage."""
        self._blocked = [blocked for blocked in self._blocked if blocked is not request]
        return self._release(request)

    def _release(self, request: EngineRequest) -> list[EngineRequest]:
        self.pending.discard(request)
        if self.pending:
            return []
        released, self._blocked = self._blocked, []
        return released


class StageExecutor:
    """One stage, whose model is acquired while the stage has work."""

    def __init__(self, stage: Stage, models: StageModels) -> None:
        self.stage = stage
        shares_runs = stage in BATCHED_STAGES or models.shares_runs
        self.slots = models.max_batch_size if shares_runs else 1
        self.steps = 0  # decode steps, fine passes or codec runs so far
        self.sequences = 0  # summed over the steps
        self.waiting: ClientQueue[EngineRequest] = ClientQueue()
        self.running: dict[BatchEntry[Any], EngineRequest] = {}
        self._models = models
        self._acquired = ExitStack()
        self._batch: Batch | None = None

    @property
    def has_work(self) -> bool:
        """Whether a request waits for the stage or runs in it."""
        return bool(self.waiting or self.running)

    def add(self, request: EngineRequest) -> None:
        """Add a request whose current call is of this stage."""
        request.executor = self
        self.waiting.append(request.client, request)

    def remove(self, request: EngineRequest) -> None:
        """Remove a request that waits or runs."""
        if request.batch_entry is None:
            self.waiting.remove(request.client, request)
            request.executor = None
        else:
            assert self._batch is not None
            self._batch.remove(request.batch_entry)
            self._release_slot(request.batch_entry)
        self._unload_if_idle()

    def fill_slots(self) -> None:
        """Acquire the model if needed, and give free slots to waiting clients in turn.

        Raises:
            Exception: The model cannot be opened; no request was moved.
        """
        if self._batch is None:
            model = self._acquired.enter_context(self._models.acquire(self.stage))
            self._batch = self._new_batch(model)
        while self.waiting and self._batch.has_free_slot:
            running = Counter(request.client for request in self.running.values())
            request = self.waiting.pop(running)
            assert request.stage_call is not None
            request.batch_entry = self._batch.add(request.stage_call.generator)
            future = request.future
            future.timings = future.timings.with_stage_start(self.stage, monotonic())
            self.running[request.batch_entry] = request

    def step(self) -> tuple[int, list[tuple[EngineRequest, BatchEntry[Any]]]]:
        """Run one step of the batch.

        Returns:
            Number of sequences that shared it, and the requests that left with their entries.
        """
        assert self._batch is not None
        output = self._batch.step()
        self.steps += output.num_sequences > 0
        self.sequences += output.num_sequences
        finished = [(self._release_slot(entry), entry) for entry in output.finished]
        self._unload_if_idle()
        return output.num_sequences, finished

    def close(self) -> None:
        """Drop all requests and release the model."""
        self.waiting.clear()
        self.running.clear()
        self._batch = None
        self._acquired.close()

    def _new_batch(self, model: Any) -> Batch:
        if self.stage in BATCHED_STAGES:
            return ContinuousBatch(model)
        if self.stage == "fine":
            return GroupedBatch(partial(run_fine_passes, model), kind_of_fine_pass, self.slots)

        def length(codes: Tokens) -> int:
            return bucket(len(codes)) if self._models.shares_runs else len(codes)

        def run(utterances: Sequence[Tokens]) -> Sequence[Any]:
            return run_codec(model, utterances, padded=length(utterances[0]))

        return GroupedBatch(run, length, self.slots)

    def _release_slot(self, entry: BatchEntry[Any]) -> EngineRequest:
        request = self.running.pop(entry)
        request.batch_entry = request.executor = None
        future = request.future
        future.timings = future.timings.with_stage_end(self.stage, monotonic())
        return request

    def _unload_if_idle(self) -> None:
        if not self.has_work:
            self.close()
