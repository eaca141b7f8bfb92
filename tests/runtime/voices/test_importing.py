"""bark-onnx voices import: all voices or none, and a manifest that stays valid."""

import io
import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bark_onnx.runtime.voices.importing as importing
from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.bundle.manifest import Manifest
from bark_onnx.graphs.errors import BundleError
from bark_onnx.graphs.files.partial_file import partial_folder
from bark_onnx.runtime.voices.importing import Imported, import_voices
from bark_onnx.runtime.voices.library import VoiceLibrary
from tests.conftest import SHARED, needs_shared_data
from tests.support.command import Run, assert_fails, output_of
from tests.support.messages import assert_one_line
from tests.support.presets import preset_arrays, write_presets

OWN = "v2/en_speaker_0"  # the random checkpoint's voice, which its manifest records
RECORD = f"voices/{OWN}.npz"
NAMES = ["announcer", "de_speaker_1", "v2/de_speaker_3"]


@pytest.fixture
def presets(tmp_path: Path) -> Path:
    """A folder laid out as Suno's bark/assets/prompts."""
    folder = tmp_path / "prompts"
    write_presets(folder, NAMES)
    (folder / "readme.md").write_text("no voice")
    return folder


def state(bundle: Path) -> dict[str, bytes]:
    """Contents of a bundle's files, without its graphs."""
    return {
        path.relative_to(bundle).as_posix(): path.read_bytes()
        for path in bundle.rglob("*")
        if path.is_file() and path.suffix not in (".onnx", ".data")
    }


def equals_preset(bundle: Path, name: str, preset: str | None = None) -> None:
    voice = VoiceLibrary(Bundle(bundle)).load(name).voice
    assert voice is not None
    for key, array in preset_arrays(preset or name).items():
        np.testing.assert_array_equal(getattr(voice, key), array)


def refused(run: Run, bundle: Path, *arguments: object, words: tuple[str, ...]) -> None:
    """Check that the command fails with one line and does not change the bundle."""
    before = state(bundle)
    assert_fails(run("voices", "import", *arguments, "-m", bundle), 1, *words)
    assert state(bundle) == before
    assert not list(bundle.rglob(".*"))


def embeddings(folder: Path, names: list[str], *, indexed: bool) -> Path:
    """Voices in the layout of a Hugging Face checkpoint."""
    index: dict[str, Any] = {"repo_or_path": "suno/bark"}
    for name in names:
        index[name] = {}
        for key, array in preset_arrays(name).items():
            index[name][key] = f"speaker_embeddings/{name}_{key}.npy"
            path = folder / index[name][key]
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, array)
    if indexed:
        (folder / "speaker_embeddings_path.json").write_text(json.dumps(index))
        return folder
    return folder / "speaker_embeddings"


# Sources


def test_presets_keep_the_names_of_their_folder(run: Run, bundle: Path, presets: Path) -> None:
    manifest = (bundle / "bark.json").read_bytes()
    out = output_of(run("voices", "import", presets, "-m", bundle))
    assert out.splitlines() == [f"added {name}" for name in NAMES]
    for name in NAMES:
        equals_preset(bundle, name)
    assert Bundle(bundle).voice_names() == sorted([*NAMES, OWN])
    assert (bundle / "bark.json").read_bytes() == manifest


@pytest.mark.parametrize("indexed", [True, False])
def test_speaker_embeddings_are_imported_with_or_without_their_index(
    run: Run, bundle: Path, tmp_path: Path, indexed: bool
) -> None:
    source = embeddings(tmp_path / "bark", NAMES, indexed=indexed)
    output_of(run("voices", "import", source, "-m", bundle))
    for name in NAMES:
        equals_preset(bundle, name)


def test_single_files_are_named_by_their_stem(
    run: Run, bundle: Path, presets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BARK_ONNX_MODEL", str(bundle))
    (presets / "announcer.npz").rename(presets / "me.npz")
    files = (presets / "me.npz", presets / "v2" / "de_speaker_3.npz")
    assert output_of(run("voices", "import", *files)) == "added de_speaker_3\nadded me\n"
    equals_preset(bundle, "me", "announcer")
    equals_preset(bundle, "de_speaker_3", "v2/de_speaker_3")


@needs_shared_data
def test_suno_presets_are_imported(run: Run, bundle: Path) -> None:
    out = output_of(run("voices", "import", SHARED / "voices", "-m", bundle))
    assert len(out.splitlines()) == 12
    assert len(Bundle(bundle).voice_names()) == 13


def test_voices_are_imported_into_a_bundle_without_voices(
    run: Run, bundle: Path, presets: Path
) -> None:
    shutil.rmtree(bundle / "voices")
    manifest = Manifest.read(bundle)
    del manifest.files[RECORD]
    (bundle / "bark.json").write_text(manifest.to_json(), encoding="utf-8")
    output_of(run("voices", "import", presets, "-m", bundle))
    assert Bundle(bundle).voice_names() == NAMES


# Voices with the same name


def test_voice_is_replaced_only_with_force(run: Run, bundle: Path, presets: Path) -> None:
    output_of(run("voices", "import", presets, "-m", bundle))
    write_presets(presets, ["new"])
    shutil.copy(presets / "announcer.npz", presets / "de_speaker_1.npz")
    refused(run, bundle, presets, words=("announcer, de_speaker_1", "already", "--force"))
    out = output_of(run("voices", "import", presets, "-m", bundle, "--force"))
    assert out.splitlines() == ["added new", *(f"replaced {name}" for name in NAMES)]
    equals_preset(bundle, "de_speaker_1", "announcer")


def test_replaced_voice_loses_its_checksum_in_the_manifest(
    run: Run, bundle: Path, tmp_path: Path
) -> None:
    write_presets(tmp_path / "new", [OWN])
    before = Manifest.read(bundle).files
    refused(run, bundle, tmp_path / "new", words=(OWN, "already", "--force"))
    output_of(run("voices", "import", tmp_path / "new", "-m", bundle, "--force"))
    equals_preset(bundle, OWN)
    assert Manifest.read(bundle).files == {n: r for n, r in before.items() if n != RECORD}
    # The user may now delete it.
    (bundle / f"{RECORD}").unlink()
    assert Bundle(bundle).voice_names() == []


def test_replaced_voice_can_be_replaced_again(run: Run, bundle: Path, tmp_path: Path) -> None:
    for name in ("v2/en_speaker_0", "announcer"):
        source = tmp_path / "new" / f"{name}.npz"
        write_presets(tmp_path / "new", [name])
        target = tmp_path / name.replace("/", "-") / "v2" / "en_speaker_0.npz"
        target.parent.mkdir(parents=True)
        source.rename(target)
        output_of(run("voices", "import", target.parents[1], "-m", bundle, "--force"))
        equals_preset(bundle, OWN, name)


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_import_that_fails_halfway_is_undone(
    bundle: Path, presets: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    write_presets(presets, [OWN])
    before = state(bundle)
    moved: list[Path] = []
    move = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if "voices" in self.parts[-3:] and target.suffix == ".npz" and target.parent != self.parent:
            if len(moved) == failing:
                moved.append(self)
                raise OSError(28, "No space left on device")
            moved.append(self)
        return move(self, target)

    monkeypatch.setattr(importing.Path, "replace", replace)
    with pytest.raises(BundleError) as caught:
        import_voices(bundle, [presets], force=True)
    assert_one_line(caught.value, "No space left", "nothing was changed")
    assert len(moved) > failing
    assert state(bundle) == before
    assert not list(bundle.glob(".*"))


def test_voice_that_cannot_be_written_is_named(
    bundle: Path, presets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_presets(presets, [OWN])
    before = state(bundle)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(BundleError) as caught:
        import_voices(bundle, [presets], force=True)
    assert_one_line(caught.value, 'Voice "', "(No space left on device)", "nothing was changed")
    assert ".partial" not in str(caught.value)
    assert state(bundle) == before


def test_what_a_killed_import_left_is_removed(bundle: Path, presets: Path) -> None:
    write_presets(presets, [OWN])
    with partial_folder(bundle / "voices") as folder:
        pass
    folder.mkdir()
    (folder / "half.npz").touch()
    import_voices(bundle, [presets], force=True)
    assert not list(bundle.glob(".*"))


def test_import_voices_returns_the_names(bundle: Path, presets: Path) -> None:
    assert import_voices(bundle, [presets]) == Imported(tuple(NAMES), ())
    assert import_voices(str(bundle), [presets], force=True) == Imported((), tuple(NAMES))


# Refusals


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def huge() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("semantic_prompt.npy", b"\0" * (32 << 20))
    return file.getvalue()


def test_one_malformed_voice_stops_the_import(
    run: Run, bundle: Path, presets: Path, tmp_path: Path
) -> None:
    bad = presets / "v2" / "zz.npz"
    arrays = preset_arrays("announcer")
    for change, words in (
        ({"semantic_prompt": np.array([10_000])}, ("semantic_prompt holds 10000",)),
        ({"fine_prompt": arrays["fine_prompt"][:7]}, ("(7, 750)", "expected (8, frames)")),
        ({"coarse_prompt": np.ones((2, 3))}, ("float64", "expected integers")),
        ({"semantic_prompt": np.array([Evil(tmp_path / "ran")], object)}, ("pickled objects",)),
    ):
        np.savez(bad, allow_pickle=True, **{**arrays, **change})
        refused(run, bundle, presets, words=(str(bad), *words))
    for data, words in (
        (b"no zip", ("not a voice",)),
        (huge(), (str(32 << 20), "expected at most")),
        (b"PK\x03\x04", ("not a voice",)),
    ):
        bad.write_bytes(data)
        refused(run, bundle, presets, words=(str(bad), *words))
    assert not (tmp_path / "ran").exists()


def test_huge_array_is_refused_unread(run: Run, bundle: Path, tmp_path: Path) -> None:
    source = embeddings(tmp_path / "bark", NAMES, indexed=True)
    with (source / "speaker_embeddings" / "announcer_fine_prompt.npy").open("r+b") as file:
        file.truncate(1 << 40)
    refused(run, bundle, source, words=("announcer_fine_prompt.npy", str(1 << 40), "at most"))


@pytest.mark.parametrize("name", ["with space", "ü b", "a.npz"])
def test_file_with_an_invalid_voice_name_is_refused(
    run: Run, bundle: Path, presets: Path, name: str
) -> None:
    shutil.copy(presets / "announcer.npz", presets / f"{name}.npz")
    refused(run, bundle, presets, words=(f'"{name}"', "cannot name a voice"))


@pytest.mark.parametrize("name", ["../escaped", "/escaped", "a/b/escaped", "..", "v2/../escaped"])
def test_name_in_an_index_cannot_lead_out_of_the_bundle(
    run: Run, bundle: Path, tmp_path: Path, name: str
) -> None:
    source = embeddings(tmp_path / "bark", NAMES, indexed=True)
    path = source / "speaker_embeddings_path.json"
    index = json.loads(path.read_text())
    path.write_text(json.dumps({**index, name: index["announcer"]}))
    refused(run, bundle, source, words=(f'"{name}"', "cannot name a voice"))
    assert not list(tmp_path.rglob("escaped*"))


@pytest.mark.parametrize("path", ["../secret.npy", "/etc/passwd", "a/../../secret.npy", "a\0b", 5])
def test_path_in_an_index_cannot_lead_out_of_the_folder(
    run: Run, bundle: Path, tmp_path: Path, path: Any
) -> None:
    source = embeddings(tmp_path / "bark", NAMES, indexed=True)
    np.save(tmp_path / "secret.npy", np.arange(5))
    index = source / "speaker_embeddings_path.json"
    voices = json.loads(index.read_text())
    voices["announcer"]["semantic_prompt"] = path
    index.write_text(json.dumps(voices))
    refused(run, bundle, source, words=('"announcer"',))


def test_malformed_index_is_one_line(run: Run, bundle: Path, tmp_path: Path) -> None:
    source = embeddings(tmp_path / "bark", NAMES, indexed=True)
    (source / "speaker_embeddings_path.json").write_text("[]")
    refused(run, bundle, source, words=("speaker_embeddings_path.json", "expected an object"))


@pytest.mark.parametrize("is_folder", [False, True])
def test_link_out_of_the_source_is_refused(
    run: Run, bundle: Path, presets: Path, tmp_path: Path, is_folder: bool
) -> None:
    outside = tmp_path / "outside"
    write_presets(outside, ["secret"])
    if is_folder:
        (presets / "linked").symlink_to(outside)
    else:
        (presets / "linked.npz").symlink_to(outside / "secret.npz")
    refused(run, bundle, presets, words=("linked", "link out of", str(presets)))


def test_circular_links_are_refused(run: Run, bundle: Path, tmp_path: Path) -> None:
    source = embeddings(tmp_path / "bark", NAMES, indexed=True)
    path = source / "speaker_embeddings" / "announcer_fine_prompt.npy"
    path.unlink()
    path.symlink_to(path)
    refused(run, bundle, source, words=('"announcer"', "outside"))
    (tmp_path / "circle").mkdir()
    loop = tmp_path / "circle" / "loop.npz"
    loop.symlink_to(loop)
    refused(run, bundle, loop.parent, words=("no voices",))


def test_linked_array_is_refused(run: Run, bundle: Path, tmp_path: Path) -> None:
    source = embeddings(tmp_path / "bark", NAMES, indexed=True)
    path = source / "speaker_embeddings" / "announcer_fine_prompt.npy"
    path.rename(tmp_path / "secret.npy")
    path.symlink_to(tmp_path / "secret.npy")
    refused(run, bundle, source, words=('"announcer"', "link", "outside"))


def test_link_out_of_the_bundle_is_refused(
    run: Run, bundle: Path, presets: Path, tmp_path: Path
) -> None:
    shutil.rmtree(bundle / "voices" / "v2")
    manifest = Manifest.read(bundle)
    del manifest.files[RECORD]
    (bundle / "bark.json").write_text(manifest.to_json(), encoding="utf-8")
    (tmp_path / "outside").mkdir()
    (bundle / "voices" / "v2").symlink_to(tmp_path / "outside")
    refused(run, bundle, presets, words=("v2/de_speaker_3", "link out of"))
    assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere", ("nowhere", "no such folder")),
        ("nowhere.npz", ("nowhere.npz", "no such file")),
        ("empty", ("empty", "no voices", ".npz")),
    ],
)
def test_source_without_voices_is_one_line(
    run: Run, bundle: Path, tmp_path: Path, source: str, words: tuple[str, ...]
) -> None:
    (tmp_path / "empty").mkdir()
    refused(run, bundle, source, words=words)


def test_two_voices_with_one_name_are_refused(run: Run, bundle: Path, presets: Path) -> None:
    sources = (presets, presets / "announcer.npz")
    refused(run, bundle, *sources, words=('"announcer"', "another source also has"))


def test_import_into_the_hub_cache_is_refused(run: Run, bundle: Path, presets: Path) -> None:
    cached = bundle.parent / "models--me--tiny" / "snapshots" / ("0" * 40)
    cached.parent.mkdir(parents=True)
    (cached.parents[1] / "blobs").mkdir()
    bundle.rename(cached)
    refused(run, cached, presets, words=("hub's cache", "hf download", "--local-dir"))


def test_import_requires_a_source_and_a_bundle(run: Run, bundle: Path, presets: Path) -> None:
    assert_fails(run("voices", "import", "-m", bundle), 2, "SOURCE", "voices import --help")
    assert_fails(run("voices", "import", presets), 2, "--model", "voices import --help")
    assert_fails(run("voices", "import", presets, "-m", presets), 1, "no bark.json")
