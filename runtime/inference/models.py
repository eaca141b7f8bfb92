"""The four stages of a bundle, opened: all at once, or one at a time when memory is low."""

import warnings
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.bundle.manifest import Manifest
from bark_onnx.graphs.contract import STAGES, CausalStage, Stage
from bark_onnx.graphs.errors import BundleError, ProviderError
from bark_onnx.graphs.onnxruntime import import_onnxruntime
from bark_onnx.graphs.precisions import PREFERRED_PRECISIONS, UNSUPPORTED_HINT
from bark_onnx.runtime.inference.decoders.cuda_graph import CudaGraphDecoder
from bark_onnx.runtime.inference.decoders.decoder import Decoder
from bark_onnx.runtime.inference.decoders.dynamic_cache import DynamicCacheDecoder
from bark_onnx.runtime.inference.decoders.sessions import CausalSessions
from bark_onnx.runtime.inference.decoders.static_cache import StaticCacheDecoder
from bark_onnx.runtime.inference.sessions import (
    ExecutionTarget,
    check_device_options,
    open_session,
    start_cuda,
)


class StageModels:
    """Decoders of the causal stages and sessions of the others.

    Args:
        bundle: where the graphs are.
        provider: "auto", "cpu" or "cuda".
        precision: which of the graphs; None takes the fastest that the provider runs well.
        threads: of the CPU; None takes one per physical core.
        max_batch_size: rows that a decoder holds at most.
        low_memory: open a stage when it is used, and close it afterwards.
        wait: until all stages are open; otherwise those that come later go on being opened while
            the first ones are used, and what is wrong with them is raised by the next `use`.

    Raises:
        BundleError: the bundle lacks the precision, or a graph is unusable.
        ProviderError: the provider does not start, or does not run the precision well.
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
        wait: bool = True,
    ) -> None:
        check_device_options(provider, threads)
        picked = _pick_provider(bundle, provider, precision)
        self.device = ExecutionTarget(picked, threads, lasting=not low_memory)
        self.precision = _pick_precision(bundle, self.device.provider, precision)
        self.max_batch_size = max_batch_size
        self.low_memory = low_memory
        self._bundle = bundle
        self._opened: dict[Stage, Future[Any]] = {}
        if not low_memory:
            opener = ThreadPoolExecutor(1, thread_name_prefix="bark-onnx opener")
            self._opened = {stage: opener.submit(self._open, stage) for stage in STAGES}
            opener.shutdown(wait=wait)
            self._raise_failures()

    @property
    def manifest(self) -> Manifest:
        """Of the bundle: shapes and settings."""
        return self._bundle.manifest

    @property
    def onnxruntime_version(self) -> str:
        """Version of the installed onnxruntime."""
        version: str = import_onnxruntime().__version__
        return version

    @contextmanager
    def use(self, stage: Stage) -> Iterator[Any]:
        """The `Decoder` (semantic, coarse) or onnxruntime session (fine, codec) of a stage."""
        if self.low_memory:
            yield self._open(stage)
        else:
            self._raise_failures()
            yield self._opened[stage].result()

    def _raise_failures(self) -> None:
        """Raise what went wrong with a stage as soon as it is known, before more is computed."""
        for opening in self._opened.values():
            if opening.done():
                opening.result()

    def close(self) -> None:
        """Free what is open. Nothing can be used afterwards."""
        self._opened.clear()

    def _open(self, stage: Stage) -> Any:
        if stage == "codec":
            return self._open_codec()
        if stage == "fine":
            return self._open_graph(stage)
        return self._open_decoder(stage)

    def _open_graph(self, stage: Stage) -> Any:
        return open_session(
            self._bundle.graph(self.precision, stage),
            self._bundle.contract(stage, self.precision),
            self.device,
        )

    def _open_codec(self) -> Any:
        """A session of the codec, whose LSTM needs cuDNN on CUDA."""
        try:
            return self._open_graph("codec")
        except (BundleError, ProviderError) as error:
            if self.device.provider == "cpu":
                raise
            warnings.warn(f"The codec runs on the CPU: {error}", stacklevel=2)
            cpu = replace(self.device, provider="cpu")
            path = self._bundle.graph(self.precision, "codec")
            return open_session(path, self._bundle.contract("codec", self.precision), cpu)

    def _open_decoder(self, stage: CausalStage) -> Decoder:
        contract = self._bundle.contract(stage, self.precision)
        fused = contract.attention == "fused"
        path = self._bundle.graph(self.precision, stage)
        step = open_session(path, contract, self.device, recorded=fused)
        prompt_path = self._bundle.prefill_graph(self.precision, stage)
        prompt = step if prompt_path is None else open_session(prompt_path, contract, self.device)
        shape = getattr(self._bundle.manifest.shapes, stage)
        graphs = CausalSessions(prompt, step, contract, shape)
        if not fused:
            return DynamicCacheDecoder(graphs, self.max_batch_size, self.device.provider)
        if self.device.provider == "cuda":
            return CudaGraphDecoder(graphs, self.max_batch_size, self.device.provider)
        return StaticCacheDecoder(graphs, self.max_batch_size)


def _pick_provider(bundle: Bundle, provider: str, precision: str | None) -> Literal["cpu", "cuda"]:
    """The provider that was asked for; for "auto" CUDA where it starts and runs such a bundle."""
    if provider == "cpu":
        return "cpu"
    try:
        start_cuda()
    except ProviderError:
        if provider == "cuda":
            raise
        return "cpu"
    runs = _well_run(bundle, "cuda")
    usable = bool(runs) if precision is None else precision in runs
    return "cuda" if usable or provider == "cuda" else "cpu"


def _pick_precision(bundle: Bundle, provider: str, precision: str | None) -> str:
    present = bundle.manifest.precisions
    if precision is not None and precision not in present:
        raise BundleError(
            f"{bundle.folder} has no {precision} graphs, only {', '.join(present)}; "
            f"export with --precision {precision}"
        )
    well_run = _well_run(bundle, provider)
    if precision is None and well_run:
        return well_run[0]
    if precision in well_run:
        return precision
    found = precision or ", ".join(present)
    form = f" with {bundle.attention} attention"
    raise ProviderError(
        f"provider {provider} does not run {found}{form}; {UNSUPPORTED_HINT[provider]}"
    )


def _well_run(bundle: Bundle, provider: str) -> list[str]:
    """Precisions of a bundle that a provider runs well, fastest first."""
    names = [name for name in PREFERRED_PRECISIONS[provider] if name in bundle.manifest.precisions]
    if provider == "cuda" and bundle.attention == "fused":
        # GroupQueryAttention has no float32 kernel there.
        names = [name for name in names if name != "fp32"]
    return names
