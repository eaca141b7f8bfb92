"""Opens stages on CUDA with settings of sessions that differ from the product's."""

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.contract import CausalStage, Stage
from bark_onnx.runtime.inference.decoders.decoder import Decoder
from bark_onnx.runtime.inference.decoders.sessions import CausalSessions
from bark_onnx.runtime.inference.providers.cuda import CudaProvider
from bark_onnx.runtime.inference.providers.provider import ExecutionProvider
from bark_onnx.runtime.inference.sessions import ExecutionTarget, open_session

SEED = 0


class ChangedCudaProvider(CudaProvider):
    """CUDA with other options of its sessions; an option of None is left out."""

    def __init__(self, changes: Mapping[str, str | None]) -> None:
        super().__init__()
        self._changes = changes

    def session_providers(self, *, replays_steps: bool) -> list[Any]:
        """See `ExecutionProvider`."""
        (name, options), *others = super().session_providers(replays_steps=replays_steps)
        changed = {**options, **self._changes}
        return [(name, {k: v for k, v in changed.items() if v is not None}), *others]


def open_stage(
    bundle: Bundle,
    stage: Stage,
    precision: str,
    provider: ExecutionProvider,
    *,
    replays_steps: bool = False,
) -> Any:
    """A session of a stage."""
    draws = provider.uses_draw_graphs
    path, contract = bundle.preferred_graph(precision, stage, for_draws=draws)
    target = ExecutionTarget(provider)
    return open_session(path, contract, target, replays_steps=replays_steps)


def open_decoder(
    bundle: Bundle,
    stage: CausalStage,
    precision: str,
    provider: ExecutionProvider,
    *,
    slots: int,
    replays_steps: bool = True,
) -> Decoder:
    """A prepared decoder, whose steps are captured and replayed unless they are not to be."""
    session = open_stage(bundle, stage, precision, provider, replays_steps=replays_steps)
    draws = provider.uses_draw_graphs
    _, contract = bundle.preferred_graph(precision, stage, for_draws=draws)
    shape = getattr(bundle.manifest.shapes, stage)
    decoder = provider.make_decoder(CausalSessions(session, session, contract, shape), slots)
    if replays_steps:
        decoder.prepare()
    return decoder


@contextmanager
def printed_by_libraries() -> Iterator[list[str]]:
    """Lines that C++ code prints to stdout in the context, known at its end."""
    lines: list[str] = []
    sys.stdout.flush()
    kept = os.dup(1)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 1)
        try:
            yield lines
        finally:
            sys.stdout.flush()
            os.dup2(kept, 1)
            os.close(kept)
            file.seek(0)
            lines += file.read().decode(errors="replace").splitlines()
