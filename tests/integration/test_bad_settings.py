"""Every value of the JSON files replaced by bad ones: a clear error, or speech in bounded time."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from bark_onnx.export.checkpoints.generation import read_generation
from bark_onnx.export.random_bark import write_checkpoint
from bark_onnx.graphs.bundle.manifest import Manifest
from bark_onnx.graphs.errors import BundleError, CheckpointError
from bark_onnx.graphs.files.dataclass_json import load_json
from tests.support.checkpoints import TINY
from tests.support.messages import assert_one_line
from tests.support.torture.bad_json import BAD_NUMBERS, places, value_at, with_value
from tests.support.torture.settings import torture_config, torture_generation, torture_manifest


def numbers(data: Any) -> list[tuple[str | int, ...]]:
    """Places of the numbers in parsed JSON."""
    kinds = (int, float)
    return [place for place in places(data) if type(value_at(data, place)) in kinds]


def test_manifest_with_any_bad_value_is_refused_or_speaks(bundle: Path) -> None:
    report = torture_manifest(bundle, each=2)
    assert not report.defects
    assert report.counts["one clear line"] > 150


def test_generation_config_with_any_bad_value_is_refused_or_speaks(
    random_checkpoint: Path, bundle: Path, tmp_path: Path
) -> None:
    checkpoint = Path(shutil.copytree(random_checkpoint, tmp_path / "checkpoint"))
    report = torture_generation(checkpoint, bundle, each=3)
    assert not report.defects
    assert report.counts["one clear line"] > 60


def test_config_with_any_bad_value_is_refused_or_loads(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "checkpoint", TINY)
    report = torture_config(tmp_path / "checkpoint", each=1)
    assert not report.defects
    assert report.counts["one clear line"] > 40


@pytest.mark.parametrize("name", BAD_NUMBERS)
def test_no_number_of_a_manifest_is_unbounded(
    random_bundle: Path, tmp_path: Path, name: str
) -> None:
    data = json.loads((random_bundle / "bark.json").read_text())
    for place in numbers(data):
        (tmp_path / "bark.json").write_text(with_value(data, place, BAD_NUMBERS[name]))
        with pytest.raises(BundleError) as caught:
            Manifest.read(tmp_path)
        assert_one_line(caught.value, str(tmp_path / "bark.json"), *_named(place, name))


@pytest.mark.parametrize("name", BAD_NUMBERS)
def test_no_number_of_a_generation_config_is_unbounded(tmp_path: Path, name: str) -> None:
    data = TINY.generation_config()
    path = tmp_path / "generation_config.json"
    for place in numbers(data):
        path.write_text(with_value(data, place, BAD_NUMBERS[name]))
        with pytest.raises(CheckpointError) as caught:
            read_generation(load_json(path, CheckpointError, remedy="download it again"), path)
        assert_one_line(caught.value, str(path), "download it again", *_named(place, name))


def _named(place: tuple[str | int, ...], name: str) -> list[str]:
    """Words of the message: the place, unless the whole file cannot be parsed."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place)
    return [] if name in ("deep", "5000 digits") else [f"{text.removeprefix('.')} is "]
