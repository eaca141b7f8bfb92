"""Memory and, on request, threads that all ONNX Runtime sessions of a process share.

ONNX Runtime keeps both as process-wide state, and so does this module.
"""

from functools import cache
from threading import Lock

from bark_onnx.graphs.errors import ProviderError
from bark_onnx.graphs.onnxruntime import import_onnxruntime

_ONE_PER_CORE = 0  # thread pool size: one thread per physical core
_NEXT_POWER_OF_TWO = 0  # growth strategy of the arena


class _Pool:
    """The global thread pool, created when it was requested and the first session is opened."""

    def __init__(self) -> None:
        self.requested = False
        self._size: int | None = None  # None before the pool is created
        self._lock = Lock()

    def open(self, threads: int | None) -> bool:
        """Create the pool if it was requested, or check its size. Whether it exists."""
        with self._lock:
            if self.requested and self._size is None:
                size = threads or _ONE_PER_CORE
                try:
                    import_onnxruntime().set_global_thread_pool_sizes(size, 1)
                except Exception as error:  # onnxruntime exports no class for it
                    if "already been created" not in str(error):
                        raise
                    self.requested = False  # the program's own pool, of unknown size
                    return False
                self._size = size
            if self._size is not None and threads not in (None, self._size):
                shared = self._size or "as many as there are cores"
                raise ProviderError(
                    f"threads is {threads}, but the sessions of this process share one pool "
                    f"({shared}), which cannot change; omit threads"
                )
            return self._size is not None


_pool = _Pool()


def use_global_thread_pool() -> None:
    """Run all ONNX Runtime sessions of this process on one thread pool.

    Otherwise every stage of a `Bark` has its own threads, which sleep while other stages run. Call
    this before the first `Bark.load`, which creates the pool with its `threads`. For programs, not
    for libraries: ONNX Runtime then refuses every other session of the process unless its options
    set `use_per_session_threads = False`.
    """
    _pool.requested = True


def ensure_global_thread_pool(threads: int | None) -> bool:
    """Create the global thread pool if it was requested. Whether sessions run on it.

    Args:
        threads: Size of the pool; None for one thread per physical core or the existing size.

    Raises:
        ProviderError: The pool exists with another size.
    """
    return _pool.open(threads)


@cache
def use_shared_arena() -> None:
    """Create the memory arena of sessions that set `session.use_env_allocators`.

    Sessions that run in turn then need as much memory as the largest of them, not the sum. The
    memory stays with the process for later sessions.
    """
    onnxruntime = import_onnxruntime()
    cpu = onnxruntime.OrtMemoryInfo(
        "Cpu",
        onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR,
        0,
        onnxruntime.OrtMemType.DEFAULT,
    )
    arena = onnxruntime.OrtArenaCfg(0, _NEXT_POWER_OF_TWO, -1, -1)  # no limit; the usual sizes
    onnxruntime.create_and_register_allocator(cpu, arena)
