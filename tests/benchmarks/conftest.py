"""Recordings of the demo's teachers."""

import sys
from collections.abc import Callable
from pathlib import Path
from shutil import which
from types import ModuleType
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # packages beside the scripts


@pytest.fixture
def record(recognition: Callable[[str], ModuleType]) -> Callable[[str, str], Any]:
    """Recording of a text by a voice of Festival Lite: samples and rate."""
    if which("flite") is None:
        pytest.skip("flite is not installed")
    return lambda voice, text: recognition("teachers").Flite(voice).record(text)
