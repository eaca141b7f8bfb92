"""Snippets of pages, run as they stand against a hub cache that holds the random checkpoint."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import soundfile

SNIPPET = re.compile(r"<!-- test -->\n```(bash|python)\n(.*?)```", re.DOTALL)
VOICES = ("v2/en_speaker_6", "v2/de_speaker_3")  # that the pages name


def make_hub_cache(cache: Path, checkpoint: Path) -> Path:
    """A checkpoint in the layout of the hub's cache, under the name of the real one; its folder."""
    revision = "0" * 40
    repository = cache / "models--suno--bark-small"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(revision)
    snapshot = repository / "snapshots" / revision
    shutil.copytree(checkpoint, snapshot)
    index = snapshot / "speaker_embeddings_path.json"
    files = json.loads(index.read_text())["v2/en_speaker_0"]
    source = {"repo_or_path": "suno/bark-small"}  # without it, BarkProcessor finds no voice
    index.write_text(json.dumps(source | dict.fromkeys(VOICES, files)))
    return snapshot


def run_snippets(page: str, folder: Path, hub_cache: Path) -> None:
    """Run the snippets of a page from top to bottom in one folder."""
    environment = {
        **os.environ,
        "HF_HUB_CACHE": str(hub_cache),
        "HF_HUB_OFFLINE": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    for language, snippet in SNIPPET.findall(page):
        program = ["bash", "-euo", "pipefail"] if language == "bash" else [sys.executable]
        done = subprocess.run(
            [*program, "-c", snippet],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{snippet}\n{done.stdout}\n{done.stderr}"


def check_sounds(folder: Path) -> set[str]:
    """Check that every sound file of a folder can be read and is not silent; their names."""
    paths = [path for path in folder.iterdir() if path.suffix in {".wav", ".mp3", ".flac"}]
    for path in paths:
        samples, rate = soundfile.read(path)
        assert len(samples) > rate, path
        assert samples.std() > 0.01, path
    return {path.name for path in paths}
