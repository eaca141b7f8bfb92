"""Bad numbers in bark.json, generation_config.json and config.json; on its own, all of them.

python -m tests.support.torture.settings --seed 0
"""

import argparse
import dataclasses
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bark_onnx.export.bundle import ExportOptions, export_bundle
from bark_onnx.export.checkpoints.checkpoint import Checkpoint, open_checkpoint
from bark_onnx.export.random_bark import write_checkpoint
from bark_onnx.graphs.bundle.manifest import Manifest
from bark_onnx.graphs.contract import STAGES
from bark_onnx.runtime import Bark
from tests.support.torture.bad_json import Place, Report, cases, torture, with_value

_TOKENS = 4  # semantic tokens that an accepted bundle generates


def _speak(bundle: Path) -> None:
    with Bark.load(bundle, verify=False, threads=1, max_batch_size=1) as bark:
        bark.speak("Hello", seed=0, semantic_max_new_tokens=_TOKENS)


def torture_manifest(bundle: Path, *, each: int | None = None, seed: int = 0) -> Report:
    """Bad values in the bark.json of a bundle, which is changed: it is refused, or it speaks."""
    path = bundle / "bark.json"
    data = json.loads(path.read_text())

    def attempt(place: Place, text: str) -> None:
        path.write_text(with_value(data, place, text))
        _speak(bundle)

    try:
        return torture(cases(data, each=each, seed=seed), attempt)
    finally:
        path.write_text(json.dumps(data))


def torture_generation(
    checkpoint: Path, bundle: Path, *, each: int | None = None, seed: int = 0
) -> Report:
    """Bad values in the generation_config.json of a checkpoint, which is changed.

    It is refused, or a bundle of that checkpoint speaks with these settings.
    """
    manifest = Manifest.read(bundle)

    def speak(opened: Checkpoint) -> None:
        changed = dataclasses.replace(manifest, generation=opened.generation, shapes=opened.shapes)
        if changed != manifest:
            (bundle / "bark.json").write_text(changed.to_json())
            _speak(bundle)

    try:
        return _torture_file(checkpoint, "generation_config.json", speak, each, seed)
    finally:
        (bundle / "bark.json").write_text(manifest.to_json())


def torture_config(checkpoint: Path, *, each: int | None = None, seed: int = 0) -> Report:
    """Bad values in the config.json of a checkpoint, which is changed: refused, or it loads."""

    def load(opened: Checkpoint) -> None:
        for stage in STAGES:
            with opened.sub_model(stage):
                pass

    return _torture_file(checkpoint, "config.json", load, each, seed)


def _torture_file(
    checkpoint: Path,
    name: str,
    use: Callable[[Checkpoint], None],
    each: int | None,
    seed: int,
) -> Report:
    path = checkpoint / name
    data = json.loads(path.read_text())

    def attempt(place: Place, text: str) -> None:
        path.write_text(with_value(data, place, text))
        use(open_checkpoint(str(checkpoint)))

    try:
        return torture(cases(data, each=each, seed=seed), attempt)
    finally:
        path.write_text(json.dumps(data))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, help="bad values per place; default: all")
    parser.add_argument("--seed", type=int, default=0, help="chooses them")
    arguments = vars(parser.parse_args())
    folder = Path(tempfile.mkdtemp(prefix="bark-onnx-torture-"))
    try:
        checkpoint, bundle = folder / "checkpoint", folder / "bundle"
        write_checkpoint(checkpoint)
        export_bundle(
            open_checkpoint(str(checkpoint)),
            bundle,
            ExportOptions(verify=True),
            force=False,
            progress=lambda step: None,
        )
        reports = {
            "bark.json": torture_manifest(bundle, **arguments),
            "generation_config.json": torture_generation(checkpoint, bundle, **arguments),
            "config.json": torture_config(checkpoint, **arguments),
        }
    finally:
        shutil.rmtree(folder)
    for name, report in reports.items():
        print(f"{name}: {report}")
    sys.exit(any(report.defects for report in reports.values()))


if __name__ == "__main__":
    main()
