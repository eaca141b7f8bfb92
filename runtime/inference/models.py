"""StageModels: opens the four stages of a bundle, all at once or one at a time (low memory)."""

import warnings
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.bundle.manifest import Manifest
from bark_onnx.graphs.contract import STAGES, CausalStage, Stage
from bark_onnx.graphs.errors import BundleError, EngineError, ProviderError, first_line
from bark_onnx.graphs.onnxruntime import import_onnxruntime
from bark_onnx.graphs.precisions import PRECISIONS, PREFERRED_PRECISIONS, UNSUPPORTED_HINT
from bark_onnx.runtime.inference.decoders.cuda_graph import CudaGraphDecoder
from bark_onnx.runtime.inference.decoders.decoder import Decoder
from bark_onnx.runtime.inference.decoders.dynamic_cache import DynamicCacheDecoder
from bark_onnx.runtime.inference.decoders.sessions import CausalSessions
from bark_onnx.runtime.inference.decoders.static_cache import StaticCacheDecoder
from bark_onnx.runtime.inference.resources import is_memory_error, thread_errors
from bark_onnx.runtime.inference.sessions import (
    ExecutionTarget,
    check_device_options,
    open_session,
    start_cuda,
)


class StageModels:
    """Decoders of the causal stages and onnxruntime sessions of the others.

    Args:
        bundle: Bundle with the graphs.
        provider: "auto", "cpu" or "cuda".
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
        check_device_options(provider, threads)
        chosen = _select_provider(bundle, provider, precision)
        self.target = ExecutionTarget(chosen, threads, is_persistent=not low_memory)
        self.precision = select_precision(bundle, chosen, precision)
        self.max_batch_size = max_batch_size
        self.low_memory = low_memory
        self._bundle = bundle
        self._loading: dict[Stage, Future[Any]] = {}
        if not low_memory:
            loader = ThreadPoolExecutor(1, thread_name_prefix="bark-onnx loader")
            with thread_errors():
                self._loading = {stage: loader.submit(self._open, stage) for stage in STAGES}
            loader.shutdown(wait=not background)
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
        """The `Decoder` (semantic, coarse) or onnxruntime session (fine, codec) of a stage."""
        if self.low_memory:
            yield self._open(stage)
        else:
            self._raise_failures()
            yield self._loading[stage].result()

    def close(self) -> None:
        """Free the open stages. None can be acquired afterwards."""
        self._loading.clear()

    def _raise_failures(self) -> None:
        """Raise the error of any stage as soon as it is known, before more is computed."""
        for loading in self._loading.values():
            if loading.done():
                loading.result()

    def _open(self, stage: Stage) -> Any:
        """Open a stage, whose caches are arrays of all slots."""
        try:
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
        if stage == "codec":
            return self._open_codec()
        if stage == "fine":
            return self._open_graph(stage, self.target)
        return self._open_decoder(stage)

    def _open_graph(self, stage: Stage, target: ExecutionTarget) -> Any:
        path = self._bundle.graph(self.precision, stage)
        return open_session(path, self._bundle.contract(stage, self.precision), target)

    def _open_codec(self) -> Any:
        """Session of the codec; on the CPU if CUDA lacks cuDNN, which its LSTM needs."""
        try:
            return self._open_graph("codec", self.target)
        except (BundleError, ProviderError) as error:
            if self.target.provider == "cpu":
                raise
            warnings.warn(f"The codec runs on the CPU: {error}", stacklevel=2)
            return self._open_graph("codec", replace(self.target, provider="cpu"))

    def _open_decoder(self, stage: CausalStage) -> Decoder:
        contract = self._bundle.contract(stage, self.precision)
        fused = contract.attention == "fused"
        path = self._bundle.graph(self.precision, stage)
        decode = prefill = open_session(path, contract, self.target, enable_cuda_graph=fused)
        prefill_path = self._bundle.prefill_graph(self.precision, stage)
        if prefill_path is not None:
            prefill = open_session(prefill_path, contract, self.target)
        shape = getattr(self._bundle.manifest.shapes, stage)
        sessions = CausalSessions(prefill, decode, contract, shape)
        if not fused:
            return DynamicCacheDecoder(sessions, self.max_batch_size, self.target.provider)
        if self.target.provider == "cuda":
            return CudaGraphDecoder(sessions, self.max_batch_size, self.target.provider)
        return StaticCacheDecoder(sessions, self.max_batch_size)


def _select_provider(
    bundle: Bundle, provider: str, precision: str | None
) -> Literal["cpu", "cuda"]:
    """The requested provider; for "auto" CUDA if it starts and supports the bundle."""
    if provider == "cpu":
        return "cpu"
    try:
        start_cuda()
    except ProviderError:
        if provider == "cuda":
            raise
        return "cpu"
    supported = _supported_precisions(bundle, "cuda")
    usable = bool(supported) if precision is None else precision in supported
    return "cuda" if usable or provider == "cuda" else "cpu"


def select_precision(bundle: Bundle, provider: str, precision: str | None) -> str:
    """The requested precision; None selects the fastest that the provider supports.

    Raises:
        BundleError: The bundle lacks the precision.
        ProviderError: The provider does not support it.
    """
    present = bundle.manifest.precisions
    if precision is not None and precision not in PRECISIONS:
        raise BundleError(
            f"precision {precision!r} is unknown, expected one of {', '.join(PRECISIONS)}; "
            f"{bundle.folder} has {', '.join(present)}"
        )
    if precision is not None and precision not in present:
        raise BundleError(
            f"{bundle.folder} has no {precision} graphs, only {', '.join(present)}; "
            f"export with --precision {precision}"
        )
    supported = _supported_precisions(bundle, provider)
    if precision is None and supported:
        return supported[0]
    if precision in supported:
        return precision
    found = precision or ", ".join(present)
    raise ProviderError(
        f"provider {provider} does not run {found} with {bundle.attention} attention; "
        f"{UNSUPPORTED_HINT[provider]}"
    )


def _supported_precisions(bundle: Bundle, provider: str) -> list[str]:
    """Precisions of a bundle that a provider runs well, fastest first."""
    names = [name for name in PREFERRED_PRECISIONS[provider] if name in bundle.manifest.precisions]
    if provider == "cuda" and bundle.attention == "fused":
        # GroupQueryAttention has no float32 kernel there.
        names = [name for name in names if name != "fp32"]
    return names
