"""Pages of docs/: their snippets run, their table is current, broken links are found."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import export
from tests.support.snippets import SNIPPET, check_sounds, make_hub_cache, run_snippets

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = {page.name: page.read_text("utf-8") for page in sorted(DOCS.glob("*.md"))}
WITH_SNIPPETS = [name for name, text in PAGES.items() if SNIPPET.search(text)]
SOUNDS = {"cli.md": {"song.mp3", "story.flac", "speech.wav"}}  # that snippets write


@pytest.fixture(scope="module")
def hub_cache(random_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hub cache that holds the random checkpoint."""
    cache = tmp_path_factory.mktemp("docs") / "hub"
    make_hub_cache(cache, random_checkpoint)
    return cache


@pytest.fixture(scope="module")
def small_bundle(hub_cache: Path) -> Path:
    """The bundle that the pages call bark-small-onnx."""
    (snapshot,) = (hub_cache / "models--suno--bark-small" / "snapshots").iterdir()
    return export(snapshot, hub_cache.parent / "bark-small-onnx")


@pytest.mark.parametrize("name", WITH_SNIPPETS)
def test_snippets_of_a_page_run_from_top_to_bottom(
    name: str, hub_cache: Path, small_bundle: Path, tmp_path: Path
) -> None:
    shutil.copytree(small_bundle, tmp_path / "bark-small-onnx")
    (tmp_path / "story.txt").write_text("Once upon a time.", encoding="utf-8")
    run_snippets(PAGES[name], tmp_path, hub_cache)
    assert check_sounds(tmp_path) >= SOUNDS.get(name, set())


def test_every_python_snippet_of_the_pages_is_run() -> None:
    for name, text in PAGES.items():
        tested = [language for language, _ in SNIPPET.findall(text)]
        assert text.count("```python") == tested.count("python"), name


def test_table_of_the_performance_page_is_that_of_the_committed_result() -> None:
    results = sorted((ROOT / "benchmarks" / "results").glob("compare-[0-9]*.json"))
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "table.py", results[-1]],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() in PAGES["performance.md"]


def load_tool(name: str) -> ModuleType:
    """A program of docs/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "link",
    ["missing.html", "other.html#missing", "#missing", "missing.png", "folder/", "../outside.html"],
)
def test_check_site_reports_a_broken_link(link: str, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(f'<a href="{link}">x</a>')
    (tmp_path / "other.html").write_text('<h1 id="there">x</h1>')
    assert load_tool("check_site").broken_links(tmp_path) == [f"index.html: {link}"]


def test_check_site_accepts_links_to_pages_anchors_and_other_hosts(tmp_path: Path) -> None:
    links = ["other.html", "other.html#there", "#here", "https://example.org/x", "other.html?q=1"]
    text = "".join(f'<a id="here" href="{link}">x</a>' for link in links)
    (tmp_path / "index.html").write_text(text)
    (tmp_path / "other.html").write_text('<h1 id="there">x</h1>')
    assert load_tool("check_site").broken_links(tmp_path) == []


def test_field_comments_become_the_documentation_of_fields(tmp_path: Path) -> None:
    griffe = pytest.importorskip("griffe")
    (tmp_path / "settings.py").write_text(
        "class Settings:\n"
        "    rate_hz: int = 1  # of the audio\n"
        "    # seconds between segments,\n"
        "    # at least 0\n"
        "    silence: float = 0.25\n"
        "    level: float = 1.0  # > 0\n"
        "    plain: int = 0\n"
        "    quoted: str = '#'\n"
    )
    extensions = griffe.load_extensions(load_tool("field_comments").FieldComments)
    settings = griffe.load("settings", search_paths=[tmp_path], extensions=extensions)["Settings"]
    found = {
        name: member.docstring and member.docstring.value
        for name, member in settings.members.items()
    }
    assert found == {
        "rate_hz": "Of the audio",
        "silence": "Seconds between segments, at least 0",
        "level": "\\> 0",
        "plain": None,
        "quoted": None,
    }


def test_click_reference_is_the_help_of_a_command_and_its_subcommands() -> None:
    markdown = pytest.importorskip("markdown")
    extensions = [load_tool("click_reference").makeExtension(), "attr_list", "fenced_code"]
    page = "::: click bark_onnx.runtime.cli.command command bark-onnx"
    text = markdown.markdown(page, extensions=extensions)
    for name in ("bark-onnx", "bark-onnx-speak", "bark-onnx-voices-import", "bark-onnx-serve"):
        assert f'<h3 id="{name}">' in text
    assert "Usage: bark-onnx speak [OPTIONS] [TEXT]" in text
    assert re.search(r"Examples:\n +bark-onnx speak ", text)  # examples keep their lines


def test_click_reference_refuses_a_command_that_does_not_exist() -> None:
    markdown = pytest.importorskip("markdown")
    page = "::: click bark_onnx.runtime.cli.command missing bark-onnx"
    with pytest.raises(AttributeError, match="missing"):
        markdown.markdown(page, extensions=[load_tool("click_reference").makeExtension()])


def test_files_of_the_architecture_page_exist() -> None:
    """A path is that of the repository or of runtime/, or goes on in the folder before it."""
    table = PAGES["architecture.md"].split("## Files by topic")[1].split("\n## ")[0]
    missing = []
    for row in table.splitlines():
        folder = ROOT
        for name in re.findall(r"`([\w/]+(?:\.py|/))`", row):
            candidates = [base / name for base in (ROOT, ROOT / "runtime", folder)]
            found = next((path for path in candidates if path.exists()), None)
            if found is None:
                missing.append(name)
            else:
                folder = found.parent
    assert not missing
