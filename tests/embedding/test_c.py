"""bark.c, built by CMake, repeats the conformance kit from the text to the wav file."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from bark_onnx.runtime import Bark
from tests.conftest import MakeOnce
from tests.support.embedding import (
    demo_with_tokenizer_graph,
    header_folder,
    python_library,
    runtime_library,
)
from tests.support.messages import assert_one_line

KIT = Path(__file__).parents[1] / "golden" / "demo" / "int8"
CASES = {case["name"]: case for case in json.loads((KIT / "cases.json").read_text())["cases"]}
LONG = "The weather is warm and sunny today. How are you? Good morning, my friend."


@dataclass(frozen=True)
class Program:
    """The program with its libraries."""

    path: Path
    bundle: Path
    operators: str
    environment: dict[str, str]

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = [str(self.path), *map(str, arguments)]
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=300
        )

    def speak(self, text: str, most: int, folder: Path) -> dict[str, list[list[int]]]:
        """Tokens of each stage, a list per codebook; the sound is in out.wav."""
        wav, tokens = folder / "out.wav", folder / "tokens.txt"
        result = self.run(self.bundle, "int8", self.operators, text, wav, most, tokens)
        assert (result.returncode, result.stderr) == (0, "")
        found = {}
        for line, books in zip(tokens.read_text().splitlines(), (1, 2, 8), strict=True):
            name, *values = line.split()
            found[name] = [list(map(int, values[book::books])) for book in range(books)]
        return found


@pytest.fixture(scope="module")
def program(make_once: MakeOnce, tmp_path_factory: pytest.TempPathFactory) -> Program:
    extensions = pytest.importorskip(
        "onnxruntime_extensions", reason="onnxruntime-extensions is missing"
    )
    for tool in ("cmake", "cc"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is missing: bark.c cannot be built")
    build = tmp_path_factory.mktemp("build")
    settings = {"ORT_INCLUDE": header_folder(), "ORT_LIBRARY": runtime_library(build)}
    defined = [f"-D{name}={value}" for name, value in settings.items()]
    for command in (
        ["cmake", "-S", Path(__file__).parent, "-B", build, *defined],
        ["cmake", "--build", build],
    ):
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr
    environment = {**os.environ, "LD_PRELOAD": python_library(), "LD_LIBRARY_PATH": str(build)}
    bundle = make_once("bundles/demo-tokenizer-graph", demo_with_tokenizer_graph)
    return Program(build / "bark", bundle, extensions.get_library_path(), environment)


def test_program_repeats_the_greedy_case_of_the_kit(program: Program, tmp_path: Path) -> None:
    case = CASES["plain"]
    most = case["options"]["semantic_max_new_tokens"]
    found = program.speak(case["text"], most, tmp_path)
    assert found == {
        "semantic": [case["semantic_tokens"]],
        "coarse": case["coarse_tokens"],
        "fine": case["fine_tokens"],
    }
    samples, rate_hz = soundfile.read(tmp_path / "out.wav", dtype="float32")
    expected = case["samples"]
    assert (rate_hz, len(samples)) == (expected["sample_rate_hz"], expected["count"])
    array = expected["every_step"]
    exact = np.fromfile(KIT.parent / array["file"], "<f4")
    tolerance = array["tolerance"] + 1 / 32767  # 16 bits
    assert np.abs(samples[:: expected["step"]] - exact).max() <= tolerance


def test_windows_of_a_long_text_slide_as_in_python(program: Program, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "semantic_do_sample": False,
        "coarse_do_sample": False,
        "fine_do_sample": False,
        "semantic_max_new_tokens": 250,
    }
    speech = Bark.load(program.bundle, precision="int8").speak(LONG, seed=0, **options)
    found = program.speak(LONG, 250, tmp_path)
    assert len(speech.fine_tokens[0]) > 256, "more than one window of the fine stage"
    assert found["semantic"][0] == speech.semantic_tokens.tolist()
    assert found["coarse"] == speech.coarse_tokens.tolist()
    assert found["fine"] == speech.fine_tokens.tolist()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"text": " "}, ["empty"]),
        ({"bundle": "nowhere"}, ["nowhere", "bundle"]),
        ({"precision": "fp16"}, ["fp16/semantic.onnx"]),
        ({"operators": "nowhere.so"}, ["nowhere.so"]),
        ({"most": "0"}, ["MAX_NEW_TOKENS"]),
        ({"wav": "/nowhere/out.wav"}, ["/nowhere/out.wav"]),
    ],
)
def test_errors_are_one_line(
    changes: dict[str, str], words: list[str], program: Program, tmp_path: Path
) -> None:
    arguments = {
        "bundle": program.bundle,
        "precision": "int8",
        "operators": program.operators,
        "text": "Hello",
        "wav": tmp_path / "out.wav",
        "most": "3",
    }
    result = program.run(*(arguments | changes).values())
    assert (result.returncode, result.stdout) == (1, "")
    assert_one_line(result.stderr.strip(), "bark: ", *words)
    assert not (tmp_path / "out.wav").exists()
