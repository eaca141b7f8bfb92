"""Fixtures for tests of the command line."""

import pytest

import bark_onnx.runtime.cli.speak as speak_command
from tests.support.fake_bark import FakeBark


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeBark]:
    """Replaces the model of `bark-onnx speak`."""
    monkeypatch.setattr(FakeBark, "loaded", [])
    monkeypatch.setattr(FakeBark, "planned", [])
    monkeypatch.setattr(speak_command, "Bark", FakeBark)
    return FakeBark
