"""Words that a bundle knows, and the bundle inside the package."""

import shutil
from pathlib import Path

import pytest

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.bundle.demo import bundle_folder
from bark_onnx.graphs.bundle.integrity import hash_file
from bark_onnx.graphs.errors import BundleError
from tests.support.command import Run, output_of
from tests.support.manifests import rewrite_manifest
from tests.support.messages import assert_one_line


def add_words(folder: Path, content: bytes) -> None:
    """Put a words.txt into a bundle and into its manifest."""
    (folder / "words.txt").write_bytes(content)
    record = hash_file(folder / "words.txt")
    rewrite_manifest(
        folder,
        lambda data: data["files"].update(
            {"words.txt": {"size": record.size, "sha256": record.sha256}}
        ),
    )


@pytest.fixture
def folder(random_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(random_bundle, tmp_path / "bundle"))


def test_words_are_those_of_the_file(folder: Path, run: Run) -> None:
    assert Bundle(folder).known_words() == frozenset()
    assert "\nwords" not in output_of(run("info", "-m", folder))
    add_words(folder, "hello\nthere\nnaïve\n".encode())
    assert Bundle(folder).known_words() == {"hello", "there", "naïve"}
    assert f"words       3 known, in {folder / 'words.txt'}\n" in output_of(
        run("info", "-m", folder)
    )


def test_words_that_are_not_listed_are_not_known(folder: Path) -> None:
    (folder / "words.txt").write_text("hello\n")
    assert Bundle(folder).known_words() == frozenset()


@pytest.mark.parametrize(
    ("content", "later", "words"),
    [
        (b"caf\xe9\n", None, ("words.txt", "UTF-8", "again")),
        (b"hello\n", b"jello\n", ("words.txt", "altered", "again")),
    ],
    ids=["not UTF-8", "altered"],
)
def test_damaged_words_are_refused(
    folder: Path, content: bytes, later: bytes | None, words: tuple[str, ...]
) -> None:
    add_words(folder, content)
    if later is not None:
        (folder / "words.txt").write_bytes(later)
    with pytest.raises(BundleError) as caught:
        Bundle(folder).known_words()
    assert_one_line(caught.value, *words)


def test_demo_is_a_folder_only_if_the_folder_is_a_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    package = bundle_folder("demo")
    assert package.is_absolute()
    assert package.parent.name == "graphs"
    Path("demo").mkdir()
    assert bundle_folder("demo") == package
    Path("demo", "bark.json").write_text("{}")
    assert bundle_folder("demo") == Path("demo")
    assert bundle_folder("./demo/") == Path("demo")
    assert bundle_folder("other") == Path("other")
