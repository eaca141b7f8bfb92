"""Writes the conformance kit of a bundle; tests/golden/README.md has its format."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from bark_onnx.export.bundle import atomic_directory
from bark_onnx.export.golden.cases import say_cases
from bark_onnx.export.golden.descriptions import describe
from bark_onnx.export.golden.files import KitFiles
from bark_onnx.export.golden.graph_runs import run_graphs
from bark_onnx.export.golden.tables import (
    random_table,
    rounding_table,
    sampling_table,
    segment_table,
    text_table,
)
from bark_onnx.export.session import Tokens
from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.bundle.manifest import Manifest
from bark_onnx.graphs.errors import ExportError
from bark_onnx.graphs.generation_config import GenerationSettings
from bark_onnx.graphs.onnxruntime import import_onnxruntime
from bark_onnx.graphs.voices.voice import Voice

KIT_NAME = "kit.json"
KIT_FORMAT_VERSION = 1

_MAX_VOICES = 2
_OWN_VOICE = "kit"  # of a bundle without voices


@contextmanager
def kit_folder(target: Path | None, bundle: Path, *, force: bool) -> Iterator[Path | None]:
    """Yield a temporary folder, which replaces `target` after a successful `with` block.

    Args:
        target: Folder of the kit; None yields None.
        bundle: Folder of the bundle, which must lie elsewhere.
        force: Replaces an existing kit.

    Raises:
        ExportError: `target` may not be replaced, or cannot be written.
        ProviderError: onnxruntime is not installed.
    """
    if target is None:
        yield None
        return
    import_onnxruntime()
    kit, other = target.resolve(), bundle.resolve()
    if kit.is_relative_to(other) or other.is_relative_to(kit):
        raise ExportError(
            f"--golden: {target} and the bundle {bundle} lie in each other; choose a folder beside "
            "the bundle"
        )
    with atomic_directory(target, force=force, what="kit", main_file=KIT_NAME) as folder:
        yield folder


def write_kit(bundle: Bundle, folder: Path, progress: Callable[[str], None]) -> None:
    """Write the conformance kit of a bundle, for each of its precisions.

    Args:
        bundle: Bundle to run.
        folder: Folder to write to.
        progress: Callback that receives one line per step.

    Raises:
        BarkError: A file of the bundle was altered, or a graph computes values that are not finite.
    """
    files, manifest = KitFiles(folder), bundle.manifest
    tokenizer = Tokenizer.from_file(str(bundle.tokenizer_path()))

    def encode(text: str) -> Tokens:
        return np.array(tokenizer.encode(text, add_special_tokens=False).ids, np.int64)

    voices = _voices(bundle)
    for precision in manifest.precisions:
        progress(f"kit: {precision}: graphs")
        runs = run_graphs(bundle, precision, files)
        files.write_json(f"{precision}/graphs.json", {"runs": runs})
        cases = say_cases(bundle, precision, voices, encode, progress)
        described = [describe(case, files, precision, bundle) for case in cases]
        files.write_json(f"{precision}/cases.json", {"cases": described})
    files.write_json(
        KIT_NAME,
        {
            "format_version": KIT_FORMAT_VERSION,
            "made_with": _made_with(manifest),
            "attention": manifest.attention,
            "precisions": list(manifest.precisions),
            "texts": text_table(encode),
            "voices": [_describe_voice(voice) for voice in voices],
            "random": random_table(),
            "segment_seeds": segment_table(),
            "rounding": rounding_table(),
            "sampling": sampling_table(),
        },
    )


def _made_with(manifest: Manifest) -> dict[str, Any]:
    return {
        "bark_onnx": version("bark-onnx"),
        "numpy": np.__version__,
        "onnxruntime": import_onnxruntime().__version__,
        "source": manifest.source,
        "contract_version": manifest.contract_version,
        "fingerprints": {name: manifest.fingerprint(name) for name in manifest.precisions},
    }


def _voices(bundle: Bundle) -> list[Voice]:
    """The first voices of a bundle; a made one if it has none."""
    settings = bundle.manifest.generation
    names = bundle.voice_names()[:_MAX_VOICES]
    voices = [Voice.from_file(bundle.read_voice_file(name), name=name) for name in names]
    voices = voices or [_made_voice(settings)]
    for voice in voices:
        voice.check(settings)
    return voices


def _made_voice(settings: GenerationSettings) -> Voice:
    """Random tokens of the length that the stages read."""
    rng = np.random.default_rng(0)
    frames = settings.fine.max_fine_history_length
    fine = rng.integers(0, settings.codebook_size, (settings.fine.n_fine_codebooks, frames))
    ratio = settings.semantic_to_coarse_ratio / settings.coarse.n_coarse_codebooks
    semantic = rng.integers(0, settings.semantic.semantic_vocab_size, max(1, int(frames / ratio)))
    return Voice(semantic, fine[: settings.coarse.n_coarse_codebooks], fine, name=_OWN_VOICE)


def _describe_voice(voice: Voice) -> dict[str, Any]:
    return {
        "name": voice.name,
        "semantic_prompt": voice.semantic_prompt.tolist(),
        "coarse_prompt": voice.coarse_prompt.tolist(),
        "fine_prompt": voice.fine_prompt.tolist(),
    }
