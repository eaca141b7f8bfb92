"""GuardedSession: an onnxruntime session that enters a context for each run."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any


class GuardedSession:
    """An onnxruntime session whose runs may happen beside whatever other threads do.

    Args:
        session: Session to run.
        enter: Makes the context of a run.
    """

    def __init__(self, session: Any, enter: Callable[[], AbstractContextManager[object]]) -> None:
        self._session, self._enter = session, enter

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, *arguments: Any) -> Any:
        """See `onnxruntime.InferenceSession`."""
        with self._enter():
            return self._session.run(*arguments)

    def run_with_iobinding(self, *arguments: Any) -> None:
        """See `onnxruntime.InferenceSession`."""
        with self._enter():
            self._session.run_with_iobinding(*arguments)
