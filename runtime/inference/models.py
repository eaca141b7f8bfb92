"""StageModels: opens the four stages of a bundle, all at once or one at a time (low memory)."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, get_args

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.bundle.manifest import Manifest
from bark_onnx.graphs.contract import STAGES, CausalStage, Stage
from bark_onnx.graphs.errors import EngineError, ProviderError, first_line
from bark_onnx.graphs.onnxruntime import import_onnxruntime
from bark_onnx.runtime.inference.codec import warm_up_codec
from bark_onnx.runtime.inference.decoders.sessions import CausalSessions
from bark_onnx.runtime.inference.fine import fine_model, warm_up_fine
from bark_onnx.runtime.inference.providers.selection import (
    check_provider,
    select_precision,
    select_provider,
)
from bark_onnx.runtime.inference.resources import is_memory_error, thread_errors
from bark_onnx.runtime.inference.sessions import ExecutionTarget, check_threads, open_session


class StageModels:
    """Decoders of the causal stages, the model of the fine one and the session of the codec.

    Args:
        bundle: Bundle with the graphs.
        provider: "auto" or the name of one.
        precision: Precision of the graphs; None selects the fastest that the provider supports.
        threads: CPU threads per session; None starts one per physical core.
        max_batch_size: Slots of a decoder.
        low_memory: Whether a stage is opened when it is acquired and closed afterwards.
        background: Return before all stages are open. Later stages are opened while the first ones
            run; an error in one of them is raised by the next `acquire`.

    Raises:
        BundleError: The bundle lacks the precision, or a graph is unusable.
        ProviderError: The provider does not start, or does not support the precision.
        EngineError: The system has too little memory, or refuses a thread.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        provider: str,
        precision: str | None,
        threads: int | None,
        max_batch_size: int,
        low_memory: bool,
        background: bool = False,
    ) -> None:
        check_provider(provider)
        check_threads(threads)
        chosen = select_provider(bundle, provider, precision)
        self.target = ExecutionTarget(chosen, threads, is_persistent=not low_memory)
        self.precision = select_precision(bundle, chosen.name, precision)
        self.max_batch_size = max_batch_size
        self.low_memory = low_memory
        self._bundle = bundle
        self._loading: dict[Stage, Future[Any]] = {}
        if not low_memory:
            loader = ThreadPoolExecutor(1, thread_name_prefix="bark-onnx loader")
            with thread_errors():
                self._loading = {stage: loader.submit(self._open, stage) for stage in STAGES}
            loader.shutdown(wait=not (background and chosen.loads_in_background))
            self._raise_failures()

    @property
    def manifest(self) -> Manifest:
        """Manifest of the bundle: shapes and settings."""
        return self._bundle.manifest

    @property
    def onnxruntime_version(self) -> str:
        """Version of the installed onnxruntime."""
        return str(import_onnxruntime().__version__)

    @contextmanager
    def acquire(self, stage: Stage) -> Iterator[Any]:
        """The `Decoder` (semantic, coarse), `FineModel` or codec's session of a stage."""
        if self.low_memory:
            yield self._open(stage)
        else:
            self._raise_failures()
            yield self._loading[stage].result()

    @property
    def shares_runs(self) -> bool:
        """Whether fine passes and codec runs of several sequences share a run."""
        return self.target.provider.shares_runs

    @property
    def needs_preparation(self) -> bool:
        """Whether `prepare` has something to do."""
        provider = self.target.provider
        return (provider.prepares_decoders or provider.compiles_kernels) and not self.low_memory

    def prepare(self) -> None:
        """Prepare the stages, in the thread that will run them, before the first request.

        Raises:
            EngineError: The provider refuses, for example for want of memory.
        """
        if not self.needs_preparation:
            return
        for stage in STAGES:
            try:
                self._prepare_stage(stage, self._loading[stage].result())
            except ProviderError:
                raise
            except Exception as error:  # onnxruntime has no common class for what a GPU refuses
                raise EngineError(
                    f"The runs of the {stage} stage cannot be prepared ({first_line(error)}); "
                    f"lower max_batch_size ({self.max_batch_size}), or use another provider"
                ) from error

    def _prepare_stage(self, stage: Stage, model: Any) -> None:
        provider, settings = self.target.provider, self.manifest.generation
        if stage in get_args(CausalStage):
            model.prepare()
        elif provider.compiles_kernels and stage == "fine":
            warm_up_fine(model, settings)
        elif provider.compiles_kernels:
            warm_up_codec(model, settings)

    def close(self) -> None:
        """Free the open stages. None can be acquired afterwards."""
        with self.target.provider.opening():
            self._loading.clear()

    def _raise_failures(self) -> None:
        """Raise the error of any stage as soon as it is known, before more is computed."""
        for loading in self._loading.values():
            if loading.done():
                loading.result()

    def _open(self, stage: Stage) -> Any:
        """Open a stage, whose caches are arrays of all slots."""
        try:
            with self.target.provider.opening():
                return self._open_stage(stage)
        except Exception as error:
            if not is_memory_error(error):
                raise
            reason, slots = first_line(error.__cause__ or error), self.max_batch_size
            raise EngineError(
                f"The {stage} stage cannot be opened ({reason}); free some memory, load with "
                f"low_memory, or lower max_batch_size ({slots})"
            ) from error

    def _open_stage(self, stage: Stage) -> Any:
        path, contract = self._bundle.preferred_graph(
            self.precision, stage, for_draws=self.target.provider.uses_draw_graphs
        )
        if stage == "codec":
            return open_session(path, contract, self.target)
        if stage == "fine":
            return fine_model(open_session(path, contract, self.target), contract)
        fused = contract.attention == "fused"
        decode = prefill = open_session(path, contract, self.target, replays_steps=fused)
        prefill_path = self._bundle.prefill_graph(self.precision, stage)
        if prefill_path is not None:
            prefill = open_session(prefill_path, contract, self.target)
        shape = getattr(self._bundle.manifest.shapes, stage)
        sessions = CausalSessions(prefill, decode, contract, shape)
        return self.target.provider.make_decoder(sessions, self.max_batch_size)
