"""What the README shows runs as it stands, from top to bottom, in one folder."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
SNIPPETS = re.findall(r"<!-- test -->\n```(bash|python)\n(.*?)```", README, re.DOTALL)
VOICES = ("v2/en_speaker_6", "v2/de_speaker_3")  # that the README names


@pytest.fixture
def hub_cache(demo_checkpoint: Path, tmp_path: Path) -> Path:
    """The demo in the layout of the hub's cache, by the name of the real checkpoint."""
    revision = "0" * 40
    repository = tmp_path / "hub" / "models--suno--bark-small"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(revision)
    snapshot = repository / "snapshots" / revision
    shutil.copytree(demo_checkpoint, snapshot)
    index_path = snapshot / "speaker_embeddings_path.json"
    files = json.loads(index_path.read_text())["v2/en_speaker_0"]
    index_path.write_text(json.dumps(dict.fromkeys(VOICES, files)))
    return tmp_path / "hub"


def test_the_readme_runs_from_top_to_bottom(hub_cache: Path, tmp_path: Path) -> None:
    assert {language for language, _ in SNIPPETS} == {"bash", "python"}
    assert len(SNIPPETS) >= 6
    (tmp_path / "story.txt").write_text("Once upon a time.", encoding="utf-8")
    environment = {
        **os.environ,
        "HF_HUB_CACHE": str(hub_cache),
        "HF_HUB_OFFLINE": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    for language, snippet in SNIPPETS:
        program = ["bash", "-euo", "pipefail"] if language == "bash" else [sys.executable]
        done = subprocess.run(
            [*program, "-c", snippet],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{snippet}\n{done.stdout}\n{done.stderr}"
    sounds = [path for path in tmp_path.iterdir() if path.suffix in {".wav", ".mp3", ".flac"}]
    assert {path.name for path in sounds} >= {"hello.wav", "song.mp3", "story.flac", "speech.wav"}
    for path in sounds:
        samples, rate = soundfile.read(path)
        assert rate == 24_000
        assert len(samples) > 24_000
        assert samples.std() > 0.01


def test_every_python_snippet_of_the_readme_is_run() -> None:
    assert README.count("```python") == sum(language == "python" for language, _ in SNIPPETS)


def test_the_table_of_the_readme_is_that_of_the_committed_result() -> None:
    root = Path(__file__).parents[2]
    results = sorted((root / "benchmarks" / "results").glob("compare-[0-9]*.json"))
    done = subprocess.run(
        [sys.executable, root / "benchmarks" / "table.py", results[-1]],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() in README
