"""Memory and threads that the system refuses, as errors that say what helps."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bark_onnx.graphs.errors import EngineError, first_line

# In messages of ONNX Runtime and CUDA.
_NO_MEMORY = ("Failed to allocate memory", "out of memory", "bad_alloc")


def is_memory_error(error: BaseException) -> bool:
    """Whether an error means that memory is missing."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY)


@contextmanager
def thread_errors() -> Iterator[None]:
    """Raise EngineError if a thread cannot be started in the block."""
    try:
        yield
    except RuntimeError as error:
        raise EngineError(
            f"A thread cannot be started ({first_line(error)}); free some memory, or allow more "
            "processes (ulimit -u)"
        ) from error


def start_thread(target: Callable[[], None], name: str) -> threading.Thread:
    """Start a thread that does not keep the interpreter alive.

    Raises:
        EngineError: The system refuses it.
    """
    thread = threading.Thread(target=target, name=name, daemon=True)
    with thread_errors():
        thread.start()
    return thread
