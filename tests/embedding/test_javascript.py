"""The JavaScript package: its own tests, with values that the Python library computes here."""

import json
import os
import shutil
import subprocess
import warnings
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from bark_onnx.export.checkpoints.tokenizer import read_tokenizer
from bark_onnx.runtime import Bark, Speech
from tests.conftest import SHARED, MakeOnce, export

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "js"
CHECKPOINT = ROOT / "export" / "demo" / "checkpoint"
NODE, NPM = shutil.which("node"), shutil.which("npm")
OLDEST_NODE = 20
INSTALL_SECONDS, TEST_SECONDS = 600, 600

GREEDY = {"semantic_do_sample": False, "coarse_do_sample": False, "fine_do_sample": False}
SAMPLED = {"temperature": 0.8, "top_k": 40, "top_p": 0.9}
LONG = "Good morning. How are you? The train to London leaves at seven thirty, on Sunday."
# One to three lines of each of Bark's languages, and what is hard for a tokenizer.
TEXTS = (
    "Hello! The weather isn't warm today -- it's 3.5 degrees, $20 & 50%.",
    "Guten Abend, heute regnet es stärker als gestern. Größe, Füße, Straßenbahnhaltestelle!",
    "¿Qué tal? ¡Mañana será otro día!",
    "Où est la gare, s'il vous plaît ? L'œuvre naïve.",
    "नमस्ते, आप कैसे हैं? मौसम अच्छा है।",
    "Buongiorno, perché no? È già tardi.",
    "こんにちは、今日はいい天気ですね。東京タワーへ行きます。",
    "안녕하세요, 만나서 반갑습니다. 오늘은 날씨가 좋아요.",
    "Zażółć gęślą jaźń.",
    "Olá, não sei o que dizer. Coração!",
    "Привет, как дела? Ёлка и йод.",
    "Günaydın, İstanbul çok güzel. IĞDIR ılık.",
    "你好，今天天气很好。我们去北京吧！",
    "♪ la la la ♪ [laughs] ... — “quoted” ‘single’ ¡! §1 [CLS] [SEP] [MASK] [UNK] [PAD]",
    "emoji 😀 👩\u200d👩\u200d👧 zero\u200bwidth no\u00a0break \ufeff soft\u00adhyphen",
    "tab\tend\r\nline",
    "e\u0301 and é, A\u030a and Å, ﬁ ligature, ½ ① Ⅷ ﾊﾝｶｸ ＦＵＬＬ",
    "العربية والعبرية עברית ไทย ქართული",
    "x" * 120 + " " + "word " * 40,
)


def run_in_package(*command: str, seconds: int, **environment: str) -> str:
    """Output of a command in js/, which must succeed."""
    result = subprocess.run(
        command,
        cwd=PACKAGE,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=seconds,
        env={**os.environ, **environment},
        check=False,
    )
    assert result.returncode == 0, f"{result.stdout[-6000:]}\n{result.stderr[-3000:]}"
    return result.stdout


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Node, after `npm ci` if the installed packages are not those of package-lock.json."""
    if NODE is None or NPM is None:
        pytest.skip("node or npm is missing: install Node.js")
    version = run_in_package(NODE, "--version", seconds=60).strip()
    if int(version.removeprefix("v").split(".")[0]) < OLDEST_NODE:
        pytest.skip(f"node is {version}, expected {OLDEST_NODE} or newer")
    lock = PACKAGE / "package-lock.json"
    installed = PACKAGE / "node_modules" / "installed-lock.json"
    with FileLock(tmp_path_factory.getbasetemp().parent / "npm.lock"):
        if not installed.is_file() or installed.read_bytes() != lock.read_bytes():
            install(NPM)
            shutil.copy(lock, installed)
    return NODE


def install(npm: str) -> None:
    # Without scripts: that of onnxruntime-node downloads CUDA.
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    result = subprocess.run(
        command, cwd=PACKAGE, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
    )
    if result.returncode == 0:
        return
    codes = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ECONNRESET", "ENOTCACHED")
    reason = result.stderr.strip()
    if any(code in reason for code in codes):
        pytest.skip(f"npm ci does not reach the registry: {reason.splitlines()[0]}")
    pytest.fail(f"npm ci failed: {reason}")


class Expected:
    """A folder with what the Python library says; its `expected.json` names the other files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bundles: list[dict[str, Any]] = []
        self.tokenizers: list[dict[str, Any]] = []
        self._files = 0

    def add_bundle(
        self,
        name: str,
        folder: Path,
        speeches: list[dict[str, Any]],
        streams: list[dict[str, Any]],
        *,
        precision: str = "fp32",
        tolerance: float = 1e-3,
    ) -> None:
        with Bark.load(folder, precision=precision, threads=1) as bark, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of unknown words
            self.bundles.append(
                {
                    "name": name,
                    "folder": str(folder),
                    "precision": precision,
                    "tolerance": tolerance,
                    "speeches": [self._speech(bark, **each) for each in speeches],
                    "streams": [self._stream(bark, **each) for each in streams],
                }
            )

    def add_tokenizer(self, name: str, folder: Path) -> None:
        tokenizer = read_tokenizer(folder)
        tokenizer.save(str(self.folder / f"{name}.json"))
        texts = [
            {"text": text, "ids": tokenizer.encode(text, add_special_tokens=False).ids}
            for text in TEXTS
        ]
        self.tokenizers.append({"name": name, "file": f"{name}.json", "texts": texts})

    def write(self) -> Path:
        path = self.folder / "expected.json"
        values = {"bundles": self.bundles, "tokenizers": self.tokenizers}
        path.write_text(json.dumps(values), encoding="utf-8")
        return path

    def _speech(self, bark: Bark, name: str, text: str, **request: Any) -> dict[str, Any]:
        options = request.pop("options")
        speech = bark.speak(text, **request, **options)
        wav = f"{self._files}.wav"
        speech.save(self.folder / wav, metadata=False)
        return {"name": name, "voice": request.get("voice"), "options": options} | {
            **self._describe(speech),
            "wav": wav,
        }

    def _stream(self, bark: Bark, name: str, text: str, **request: Any) -> dict[str, Any]:
        options = request.pop("options")
        segments = [self._describe(each) for each in bark.stream(text, **request, **options)]
        assert len(segments) > 1
        return {"name": name, "text": text, "options": options, "segments": segments, **request}

    def _describe(self, speech: Speech) -> dict[str, Any]:
        self._files += 1
        samples = f"{self._files - 1}.bin"
        speech.samples.astype("<f4").tofile(self.folder / samples)
        return {
            "text": speech.text,
            "seed": speech.seed,
            "voiceName": speech.voice_name,
            "startSeconds": speech.start_seconds,
            "semantic": speech.semantic_tokens.tolist(),
            "coarse": speech.coarse_tokens.tolist(),
            "fine": speech.fine_tokens.tolist(),
            "samples": samples,
        }


def test_tokens_equal_those_of_python(
    node: str,
    random_bundle: Path,
    standard_bundle: Path,
    make_once: MakeOnce,
    tmp_path: Path,
) -> None:
    demo = make_once("bundles/demo-fp32", lambda target: export(CHECKPOINT, target))
    expected = Expected(tmp_path)
    text = "Hello! The weather is warm and sunny today."
    voice = "v2/en_speaker_1"
    few = {"semantic_max_new_tokens": 25}
    stream = {"max_seconds": 1, "history": "previous", "crossfade_seconds": 0.02, "trim": True}
    expected.add_bundle(
        "demo in int8",
        ROOT / "graphs" / "demo",
        [{"name": "defaults", "text": text, "voice": voice, "seed": 3, "options": few}],
        [
            {"name": "voice", "text": LONG, "seed": 2**60, "options": few | {"max_seconds": 2}},
            {"name": "previous", "text": LONG, "seed": 1, "options": few | stream},
        ],
        precision="int8",
        tolerance=2e-3,
    )
    for name, folder in (("random, fused", random_bundle), ("random, standard", standard_bundle)):
        expected.add_bundle(
            name,
            folder,
            [
                {"name": "greedy", "text": "hello world", "seed": 0, "options": GREEDY},
                {"name": "sampled", "text": "hello", "seed": 2**70, "options": SAMPLED},
            ],
            [],
        )
    expected.add_tokenizer("the demo", CHECKPOINT)
    if SHARED.is_dir():
        expected.add_tokenizer("Suno", SHARED / "tokenizer")
    output = run_in_package(
        node,
        "--test",
        "--test-reporter=tap",
        seconds=TEST_SECONDS,
        BARK_DEMO=str(demo),
        BARK_EXPECTED=str(expected.write()),
    )
    assert "# skipped 0" in output


def test_types_are_consistent(node: str) -> None:
    compiler = PACKAGE / "node_modules" / "typescript" / "bin" / "tsc"
    run_in_package(node, str(compiler), "--project", "tsconfig.json", seconds=TEST_SECONDS)
