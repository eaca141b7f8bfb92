"""The session behind a stage, whatever the stage holds it in."""

from typing import Any

from bark_onnx.graphs.contract import Stage
from bark_onnx.runtime import Bark


def session_of(bark: Bark, stage: Stage) -> Any:
    """The session that a stage runs; of the causal ones, that of single steps."""
    with bark._models.acquire(stage) as model:
        if stage == "codec":
            return model
        return model.session if stage == "fine" else model._sessions.decode
