"""The log of the fake runtime under the tests."""

import os
from pathlib import Path

import pytest

from tests.support.fake_cuda.log import CudaLog


def open_log() -> CudaLog:
    """The log of the fake runtime under this process; the test is skipped where there is none."""
    path = os.environ.get("FAKE_CUDA_LOG")
    if path is None:
        pytest.skip("needs the fake CUDA runtime: make test-fake-cuda")
    return CudaLog(Path(path))
