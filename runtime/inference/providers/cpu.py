"""The CPU: every bundle runs here."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from bark_onnx.runtime.inference.decoders.decoder import Decoder
from bark_onnx.runtime.inference.decoders.dynamic_cache import DynamicCacheDecoder
from bark_onnx.runtime.inference.decoders.sessions import CausalSessions
from bark_onnx.runtime.inference.decoders.static_cache import StaticCacheDecoder
from bark_onnx.runtime.inference.thread_pool import use_shared_arena

CPU_EXECUTION_PROVIDER = "CPUExecutionProvider"


class CpuProvider:
    """See `ExecutionProvider`."""

    name = "cpu"
    loads_in_background = True
    prepares_decoders = False
    compiles_kernels = False
    uses_draw_graphs = False
    shares_runs = False

    def start(self) -> None:
        """See `ExecutionProvider`."""

    def runs(self, precision: str, attention: str) -> bool:
        """See `ExecutionProvider`."""
        return True

    def configure(self, options: Any, *, is_persistent: bool) -> None:
        """See `ExecutionProvider`."""
        # A memory pattern would keep a block for each shape in addition to what runs need.
        options.enable_mem_pattern = False
        if is_persistent:
            use_shared_arena()
            options.add_session_config_entry("session.use_env_allocators", "1")

    def session_providers(self, *, replays_steps: bool) -> list[Any]:
        """See `ExecutionProvider`."""
        return [CPU_EXECUTION_PROVIDER]

    def opening(self) -> AbstractContextManager[None]:
        """See `ExecutionProvider`."""
        return nullcontext()

    def guard(self, session: Any) -> Any:
        """See `ExecutionProvider`."""
        return session

    def check_placement(self, session: Any, path: Path) -> None:
        """See `ExecutionProvider`."""

    def make_decoder(self, sessions: CausalSessions, slots: int) -> Decoder:
        """See `ExecutionProvider`."""
        if sessions.contract.attention == "standard":
            return DynamicCacheDecoder(sessions, slots, "cpu")
        return StaticCacheDecoder(sessions, slots)
