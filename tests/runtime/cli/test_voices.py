"""bark-onnx voices: the list and its search."""

import json
import shutil
from pathlib import Path

import pytest

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.runtime import Bark, VoiceError
from bark_onnx.runtime.text.languages import LANGUAGES
from bark_onnx.runtime.voices.library import VoiceLibrary
from tests.support.command import Run, assert_fails, output_of
from tests.support.messages import assert_one_line
from tests.support.presets import PRESET_NAMES, preset_arrays, write_presets


@pytest.fixture(scope="module")
def presets_bundle(random_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with all of Suno's presets."""
    folder = tmp_path_factory.mktemp("bundles") / "presets"
    shutil.copytree(random_bundle, folder)
    write_presets(folder / "voices", [name for name in PRESET_NAMES if name != "v2/en_speaker_0"])
    return folder


def listed(run: Run, bundle: Path, *arguments: object) -> list[str]:
    """Names in the list."""
    lines = output_of(run("voices", "-m", bundle, *arguments)).splitlines()
    return [line.split(" ")[0] for line in lines]


# All of Suno's presets


def test_suno_has_271_presets() -> None:
    assert len(set(PRESET_NAMES)) == len(PRESET_NAMES) == 271


def test_every_preset_loads_by_its_name(presets_bundle: Path) -> None:
    bundle = Bundle(presets_bundle)
    assert bundle.voice_names() == sorted(PRESET_NAMES)
    for name in PRESET_NAMES:
        voice = VoiceLibrary(bundle).load(name).voice
        assert voice is not None
        assert voice.name == name
        if name == "v2/en_speaker_0":  # the bundle's own
            continue
        for key, array in preset_arrays(name).items():
            found = getattr(voice, key)
            assert found.dtype == "int64"
            assert found.shape == array.shape
            assert (found == array).all()


# The list


def test_list_has_a_line_per_voice_with_language_and_length(
    run: Run, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(bundle / "voices" / "v2" / "en_speaker_0.npz", bundle / "voices" / "me.npz")
    expected = "me               unknown       4.0 s\nv2/en_speaker_0  English (en)  4.0 s\n"
    assert output_of(run("voices", "-m", bundle)) == expected
    monkeypatch.setenv("BARK_ONNX_MODEL", str(bundle))
    assert output_of(run("voices")) == expected


def test_list_of_a_bundle_without_voices_is_empty(run: Run, bundle: Path) -> None:
    opened = Bundle(bundle)
    shutil.rmtree(bundle / "voices")
    assert VoiceLibrary(opened).find() == []
    assert VoiceLibrary(opened).find("german") == []


def test_json_is_one_array_with_every_voice(run: Run, presets_bundle: Path) -> None:
    records = json.loads(output_of(run("voices", "-m", presets_bundle, "--json")))
    assert [record["name"] for record in records] == sorted(PRESET_NAMES)
    by_name = {record["name"]: record for record in records}
    assert by_name["announcer"] == {
        "name": "announcer",
        "language": None,
        "language_name": None,
        "seconds": 10.0,
    }
    frames = preset_arrays("v2/de_speaker_3")["fine_prompt"].shape[1]
    assert by_name["v2/de_speaker_3"] == {
        "name": "v2/de_speaker_3",
        "language": "de",
        "language_name": "German",
        "seconds": round(frames / 75, 3),
    }


def test_damaged_voice_is_listed_with_a_warning(
    run: Run, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bundle / "voices" / "bad.npz").write_bytes(b"PK")
    with pytest.warns(UserWarning, match=r"bad\.npz: not a voice"):
        status, out, _ = run("voices", "-m", bundle)
    assert (status, out.splitlines()[0]) == (0, "bad              unknown       damaged")
    with pytest.warns(UserWarning, match=r"bad\.npz: not a voice"):
        _, out, _ = run("voices", "-m", bundle, "--json", "--search", "bad")
    assert json.loads(out)[0]["seconds"] is None


# Search


@pytest.mark.parametrize("language", LANGUAGES, ids=str)
def test_search_finds_a_language_by_each_of_its_names(language, presets_bundle: Path) -> None:
    bundle = Bundle(presets_bundle)
    expected = [
        f"{series}{language.code}_speaker_{number}"
        for series in ("", "v2/")
        for number in range(10)
    ]
    for word in (language.code, language.name, language.native):
        assert [entry.name for entry in VoiceLibrary(bundle).find(word)] == sorted(expected), word


@pytest.mark.parametrize(
    ("search", "names"),
    [
        ("german 3", ["de_speaker_3", "v2/de_speaker_3"]),
        ("german-3", ["de_speaker_3", "v2/de_speaker_3"]),
        ("v2/de_speaker_3", ["v2/de_speaker_3"]),
        ("ANNOUNCE", ["announcer"]),
        ("日本語 7", ["ja_speaker_7", "v2/ja_speaker_7"]),
        ("espanol 0", ["es_speaker_0", "v2/es_speaker_0"]),
    ],
)
def test_search_matches_a_language_or_part_of_a_name(
    run: Run, presets_bundle: Path, search: str, names: list[str]
) -> None:
    assert listed(run, presets_bundle, "--search", search) == names


def test_search_finds_own_voices_by_part_of_their_names(run: Run, bundle: Path) -> None:
    voice = bundle / "voices" / "v2" / "en_speaker_0.npz"
    for name in ("de-anna", "Ben.2"):
        shutil.copy(voice, bundle / "voices" / f"{name}.npz")
    assert listed(run, bundle, "--search", "ann") == ["de-anna"]
    assert listed(run, bundle, "--search", "de") == ["de-anna"]
    assert listed(run, bundle, "--search", "ben") == ["Ben.2"]


@pytest.mark.parametrize("search", ["germna", "german 12", "german announcer"])
def test_search_without_a_match_is_one_line(run: Run, presets_bundle: Path, search: str) -> None:
    words = (f'No voice matches "{search}" among 271', "a language", "bark-onnx voices")
    assert_fails(run("voices", "-m", presets_bundle, "--search", search), 1, *words)


def test_bark_finds_voices(random_bundle: Path) -> None:
    with Bark.load(random_bundle) as random_bark:
        (entry,) = random_bark.find_voices("english")
        assert random_bark.find_voices() == [entry]
        with pytest.raises(VoiceError) as caught:
            random_bark.find_voices("german")
    assert (entry.name, str(entry.language), entry.seconds) == (
        "v2/en_speaker_0",
        "English (en)",
        4.0,
    )
    assert_one_line(caught.value, '"german"', "among 1")


@pytest.mark.parametrize(
    "arguments", [("-m", "bundle"), ("--search", "de"), ("--json",), ("--model", "bundle")]
)
def test_options_before_a_subcommand_are_refused(run: Run, arguments: tuple[str, ...]) -> None:
    option = "--model" if arguments[0] == "-m" else arguments[0]
    assert_fails(
        run("voices", *arguments, "check", "me.npz"), 2, option, "before check", "after check"
    )


def test_unknown_subcommand_is_one_line(run: Run) -> None:
    assert_fails(run("voices", "chek"), 2, "chek", "bark-onnx voices --help")
