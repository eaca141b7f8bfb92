"""The four stages of a bundle, opened: all at once, or one at a time when memory is low."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bark_onnx.graphs.contract import STAGES, Stage
from bark_onnx.graphs.errors import BundleError
from bark_onnx.graphs.manifest import Manifest
from bark_onnx.graphs.precisions import CPU_FASTEST_FIRST
from bark_onnx.runtime.bundle import Bundle
from bark_onnx.runtime.decoder import CausalSessions, open_decoder
from bark_onnx.runtime.sessions import Device, open_session


class Stages:
    """Decoders of the causal stages and sessions of the others.

    Args:
        bundle: where the graphs are.
        precision: which of them; None takes the fastest that there is.
        device: where they run.
        max_rows: rows that a decoder holds at most.
        low_memory: open a stage when it is used, and close it afterwards.

    Raises:
        BundleError: the bundle lacks the precision, or a graph is unusable.
    """

    def __init__(
        self,
        bundle: Bundle,
        precision: str | None,
        device: Device,
        *,
        max_rows: int,
        low_memory: bool,
    ) -> None:
        self.precision = _pick_precision(bundle, precision)
        self.device = device
        self.max_rows = max_rows
        self.low_memory = low_memory
        self._bundle = bundle
        self._opened: dict[Stage, Any] = {}
        if not low_memory:
            self._opened = {stage: self._open(stage) for stage in STAGES}

    @property
    def manifest(self) -> Manifest:
        """Of the bundle: shapes and settings."""
        return self._bundle.manifest

    @contextmanager
    def use(self, stage: Stage) -> Iterator[Any]:
        """The `Decoder` (semantic, coarse) or onnxruntime session (fine, codec) of a stage."""
        yield self._open(stage) if self.low_memory else self._opened[stage]

    def close(self) -> None:
        """Free what is open. Nothing can be used afterwards."""
        self._opened.clear()

    def _open(self, stage: Stage) -> Any:
        contract = self._bundle.contract(stage)
        session = open_session(self._bundle.graph(self.precision, stage), contract, self.device)
        if stage == "fine" or stage == "codec":
            return session
        prompt = self._bundle.prompt_graph(self.precision, stage)
        sessions = CausalSessions(
            session if prompt is None else open_session(prompt, contract, self.device), session
        )
        shape = getattr(self._bundle.manifest.shapes, stage)
        return open_decoder(sessions, contract, shape, self.max_rows)


def _pick_precision(bundle: Bundle, precision: str | None) -> str:
    present = bundle.manifest.precisions
    if precision is None:
        return next((name for name in CPU_FASTEST_FIRST if name in present), present[0])
    if precision not in present:
        raise BundleError(
            f"{bundle.folder} has no {precision} graphs, only {', '.join(present)}; "
            f"export with --precision {precision}"
        )
    return precision
