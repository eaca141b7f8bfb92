"""ExecutionProvider: what the rest of inference needs to know of what runs the graphs."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from bark_onnx.runtime.inference.decoders.decoder import Decoder
from bark_onnx.runtime.inference.decoders.sessions import CausalSessions


class ExecutionProvider(Protocol):
    """A way to run graphs: its sessions, its decoder, its limits and checks.

    The precisions that it runs well are in `graphs/precisions.py`, under its name.
    """

    name: str  # of --provider
    loads_in_background: bool  # whether a stage may be opened while another one runs
    shares_runs: bool  # whether a fine pass or a codec run of several sequences is faster
    prepares_decoders: bool  # whether `Decoder.prepare` has something to do
    uses_draw_graphs: bool  # whether graphs that return what a draw needs are faster
    compiles_kernels: bool  # whether the first run of a graph compiles, so that it runs at load

    def start(self) -> None:
        """Fail wherever graphs could not run.

        Raises:
            ProviderError: A library is missing, or no device is usable.
        """

    def runs(self, precision: str, attention: str) -> bool:
        """Whether it has kernels for graphs of a precision, with fused or standard attention."""

    def configure(self, options: Any, *, is_persistent: bool) -> None:
        """Set `onnxruntime.SessionOptions`.

        Args:
            options: Options with the threads set.
            is_persistent: Whether the session stays open, so that it may share memory.
        """

    def session_providers(self, *, replays_steps: bool) -> list[Any]:
        """Argument `providers` of `onnxruntime.InferenceSession`, the CPU last.

        Empty for a plug-in, which `configure` adds to the options.

        Args:
            replays_steps: Whether the session may capture decode steps and replay them.
        """

    def opening(self) -> AbstractContextManager[object]:
        """Context in which sessions are opened and decoders made."""

    def guard(self, session: Any) -> Any:
        """A session whose runs may happen beside whatever other threads do."""

    def check_placement(self, session: Any, path: Path) -> None:
        """Check that the provider runs a graph, where ONNX Runtime would fall back silently.

        Raises:
            ProviderError: The session, or a part of it with much computation, runs on the CPU.
        """

    def make_decoder(self, sessions: CausalSessions, slots: int) -> Decoder:
        """Decoder of a causal stage with a cache for each of `slots` sequences."""
