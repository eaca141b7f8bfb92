"""What the README shows runs as it stands, from top to bottom, in one folder."""

import subprocess
import sys
from pathlib import Path

from bark_onnx.graphs.bundle.bundle import Bundle
from tests.support.snippets import SNIPPET, check_sounds, make_hub_cache, run_snippets

ROOT = Path(__file__).parents[2]
DEMO = Bundle("demo")
README = (ROOT / "README.md").read_text("utf-8")


def test_the_readme_runs_from_top_to_bottom(random_checkpoint: Path, tmp_path: Path) -> None:
    make_hub_cache(tmp_path / "hub", random_checkpoint)
    run_snippets(README, tmp_path, tmp_path / "hub")
    assert check_sounds(tmp_path) == {"hello.wav"}


def test_every_python_snippet_of_the_readme_is_run() -> None:
    languages = [language for language, _ in SNIPPET.findall(README)]
    assert set(languages) == {"bash", "python"}
    assert README.count("```python") == languages.count("python")


def test_the_readme_has_one_screen() -> None:
    assert len(README.splitlines()) <= 120


def test_number_of_words_is_that_of_the_demo() -> None:
    count = f"{len(DEMO.known_words()):,} "
    assert f"a toy of {count}English words" in README
    assert f"knows {count}words" in (ROOT / "docs" / "demo.md").read_text("utf-8")


def test_the_table_of_the_readme_is_that_of_the_committed_result() -> None:
    results = sorted((ROOT / "benchmarks" / "results").glob("compare-[0-9]*.json"))
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "table.py", results[-1]],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() in README
