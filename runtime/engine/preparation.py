"""Preparation of the models, in the engine's thread, that the caller waits for."""

from concurrent.futures import Future

from bark_onnx.graphs.errors import BarkError
from bark_onnx.runtime.inference.models import StageModels


class Preparation:
    """What the models do before the first request."""

    def __init__(self, models: StageModels) -> None:
        self._models = models
        self._done: Future[None] = Future()

    def run(self) -> BarkError | None:
        """Prepare the models; the error that prevents it."""
        try:
            self._models.prepare()
        except BarkError as error:
            self._done.set_exception(error)
            return error
        self._done.set_result(None)
        return None

    def wait(self) -> None:
        """Wait until `run` is over.

        Raises:
            BarkError: The models cannot be prepared.
        """
        self._done.result()
