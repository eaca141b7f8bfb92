"""What the ONNX Runtime sessions of one process share: memory, and threads if the program says so.

ONNX Runtime keeps both for a process as a whole, and so does this module.
"""

from functools import cache
from threading import Lock

from bark_onnx.graphs.errors import ProviderError
from bark_onnx.graphs.onnxruntime import import_onnxruntime

_ONE_PER_CORE = 0  # to ONNX Runtime
_NEXT_POWER_OF_TWO = 0  # how the arena grows


class _Pool:
    """The pool of threads that all sessions of the process use, once a program asked for one."""

    def __init__(self) -> None:
        self.wanted = False
        self._size: int | None = None  # None: there is no pool yet
        self._lock = Lock()

    def open(self, threads: int | None) -> None:
        """Make the pool if it is wanted and not there, else check its size."""
        with self._lock:
            if self.wanted and self._size is None:
                size = threads or _ONE_PER_CORE
                try:
                    import_onnxruntime().set_global_thread_pool_sizes(size, 1)
                except Exception as error:  # onnxruntime exports no class for it
                    if "already been created" not in str(error):
                        raise
                    self.wanted = False  # somebody else's, of a size that nobody tells
                    return
                self._size = size
            if self._size is not None and threads not in (None, self._size):
                shared = self._size or "as many as there are cores"
                raise ProviderError(
                    f"threads is {threads}, but the sessions of this process share one pool "
                    f"({shared}), which cannot change; leave threads out"
                )

    @property
    def is_open(self) -> bool:
        return self._size is not None


_pool = _Pool()


def use_global_thread_pool() -> None:
    """Let all ONNX Runtime sessions of this process run on one pool of threads.

    Otherwise every stage of a `Bark` has threads of its own, which sleep while others run. To be
    called before the first `Bark.load`, which makes the pool with its `threads`. For programs, not
    for libraries: ONNX Runtime then refuses every other session of the process whose options do
    not say `use_per_session_threads = False`.
    """
    _pool.wanted = True


def ensure_global_thread_pool(threads: int | None) -> bool:
    """Whether sessions of `threads` threads run on the pool that the program asked for.

    Raises:
        ProviderError: there is a pool of another size.
    """
    _pool.open(threads)
    return _pool.is_open


@cache
def use_shared_arena() -> None:
    """Let sessions that ask for it (`session.use_env_allocators`) share memory for their values.

    Sessions that run in turn need what the largest of them needs, not the sum. What they took
    stays with the process, for the next ones.
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
