"""bark-onnx info: the provenance of sound files, and the command that generates them again."""

import dataclasses
import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

import bark_onnx.runtime.cli.command as cli
from bark_onnx.graphs.bundle.manifest import FileRecord, Manifest
from bark_onnx.runtime import Bark, GenerationOptions, StreamOptions
from bark_onnx.runtime.audio.files.formats import replay_path
from bark_onnx.runtime.cli.info import read_provenance
from bark_onnx.runtime.cli.options.output import OutputOptions
from bark_onnx.runtime.provenance.provenance import Provenance
from bark_onnx.runtime.provenance.replay import replay_command, replay_warnings
from bark_onnx.runtime.provenance.tags import read_tags
from tests.support.command import ENTRY_POINT, Run, assert_fails, output_of

VOICE = "v2/en_speaker_0"
SHORT = ("--semantic-max-new-tokens", 15)
LONG = (
    "Here is the first sentence of it. Then there is another one, somewhat longer. "
    "What about a third? It comes now! And a fourth one, to be sure. The end is near."
)
LANGUAGES = (
    "Grüße! ¿Qué tal? Ça va ? नमस्ते। 你好。 こんにちは。 안녕. Привет! Günaydın, żółć; [laughs] ♪"
)
DIALOGUE = 'Anna: Hello, it\'s me!\nBen:\t"Who?"\nAnna: $HOME `sweet` \\home.'
STREAM_NAMES = {field.name for field in dataclasses.fields(StreamOptions)}
OUTPUT_NAMES = {field.name for field in dataclasses.fields(OutputOptions)}
# Options that do not change the sound, or determine where it is written.
NOT_RECORDED = {"threads", "low_memory", "concurrency", "save_voice", *OUTPUT_NAMES}
NOT_RECORDED.remove("sample_rate_hz")


@pytest.fixture
def folder(random_bundle: Path, tmp_path: Path) -> Path:
    """Working folder of the commands: a bundle with a space in its name, and a voice."""
    (tmp_path / "my bundle").symlink_to(random_bundle)
    shutil.copy(random_bundle / "voices" / f"{VOICE}.npz", tmp_path / "it's me.npz")
    return tmp_path


def run_in_shell(command: str, folder: Path) -> None:
    path = f"{ENTRY_POINT.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-euc", command],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def _replay(provenance: Provenance, path: Path) -> str:
    return replay_command(provenance, path, replay_path(path))


CASES = {
    "short": (LANGUAGES, ("--voice", VOICE)),
    "a voice from a file": ("-5 °C", ("--voice", "it's me.npz", "--greedy")),
    "Suno's sampling": ("A line.\nAnd another.", ("--sampling", "suno", "--top-p", 0.9)),
    "long, with history": (
        LONG * 10,
        (*("--history", "previous", "--max-seconds", 400), "--no-semantic-do-sample"),
    ),
    "many segments": (LONG, ("--max-seconds", 4, "--language", "en", "--silence-seconds", 0.1)),
    "a dialogue": (
        DIALOGUE,
        (
            *("--speaker", f"Anna={VOICE}", "--speaker", "Ben=it's me.npz"),
            "--crossfade-seconds",
            0.05,
        ),
    ),
    "at another rate": ("Hello", ("--sample-rate", 16_000)),
    "clean": ("Yes.\x07", ("--attempts", 2, "--trim", "--normalize-peak", 0.5, "--limit-duration")),
}


@pytest.mark.filterwarnings("ignore:segment")
@pytest.mark.parametrize(
    ("case", "suffix"),
    [
        *((case, "wav") for case in CASES),
        *(("short", suffix) for suffix in ("flac", "ogg", "mp3")),
        ("many segments", "flac"),
    ],
)
def test_printed_command_writes_the_same_bytes(
    run: Run, folder: Path, case: str, suffix: str
) -> None:
    text, options = CASES[case]
    common = ("-m", "my bundle", "-o", f"a b.{suffix}", "--seed", 7, *SHORT)
    status, _, error = run("speak", *common, *options, "--", text)
    assert status == 0, error
    command = output_of(run("info", f"a b.{suffix}", "--command")).removesuffix("\n")
    run_in_shell(command, folder)
    first, second = ((folder / f"{name}.{suffix}").read_bytes() for name in ("a b", "a b-again"))
    assert first == second
    assert soundfile.info(folder / f"a b.{suffix}").frames > 0


def test_long_text_is_piped_from_the_file(run: Run, folder: Path) -> None:
    (folder / "text.txt").write_text(LONG * 20, encoding="utf-8")
    common = ("-m", "my bundle", "--seed", 1, "--max-seconds", 400, "--semantic-max-new-tokens", 3)
    output_of(run("speak", "-i", "text.txt", *common, "-o", "-a.wav"))
    assert output_of(run("info", "--text", "--", "-a.wav")) == LONG * 20
    command = output_of(run("info", "--command", "--", "-a.wav"))
    assert command.startswith("bark-onnx info --text -- -a.wav | bark-onnx speak - ")
    run_in_shell(command, folder)
    assert (folder / "-a.wav").read_bytes() == (folder / "-a-again.wav").read_bytes()


def test_speech_of_the_library_can_be_generated_again(
    random_bark: Bark, random_bundle: Path, folder: Path
) -> None:
    options = GenerationOptions(semantic_max_new_tokens=15)
    text = LONG  # more than one segment with the default of the command
    random_bark.speak(text, seed=3, voice=folder / "it's me.npz", options=options).save(
        folder / "a.wav"
    )
    random_bark.submit("Hello", seed=3, voice=VOICE, options=options).result().save(
        folder / "b.wav"
    )
    for name in "ab":
        provenance = read_provenance(folder / f"{name}.wav")
        assert provenance.bundle.path == str(random_bundle)
        run_in_shell(_replay(provenance, folder / f"{name}.wav"), folder)
        first, second = ((folder / f"{name}{end}.wav").read_bytes() for end in ("", "-again"))
        assert first == second


def test_segment_of_a_long_text_has_its_number(run: Run, random_bark: Bark, tmp_path: Path) -> None:
    speeches = list(random_bark.stream(LONG, max_seconds=4, seed=1, semantic_max_new_tokens=5))
    assert [speech.provenance.segment for speech in speeches if speech.provenance] == [
        *range(1, len(speeches) + 1)
    ]
    speeches[1].save(tmp_path / "a.wav")
    out = output_of(run("info", "a.wav"))
    assert "warning     the file is segment 2 of the sound that the command generates" in out
    (single,) = random_bark.stream("Hello", seed=1, semantic_max_new_tokens=5)
    assert single.provenance is not None
    assert single.provenance.segment is None


def test_voice_without_a_file_causes_a_warning(run: Run, random_bark: Bark, tmp_path: Path) -> None:
    voice = random_bark.voice(VOICE)
    random_bark.speak("Hello", voice=voice, seed=1, semantic_max_new_tokens=5).save(
        tmp_path / "a.wav"
    )
    out = output_of(run("info", "a.wav"))
    assert f"voice       {VOICE} (given as arrays)" in out
    assert "save it (Voice.save) as voice.npz" in out
    assert "--voice voice.npz" in out


def test_speaker_without_a_voice_causes_a_warning(
    run: Run, random_bark: Bark, tmp_path: Path
) -> None:
    (speech,) = random_bark.stream(
        "A: Hello", speakers={"A": None}, seed=1, semantic_max_new_tokens=5
    )
    speech.save(tmp_path / "a.wav")
    assert "only the library supports" in output_of(run("info", "a.wav"))


def test_info_prints_the_settings(run: Run, folder: Path) -> None:
    options = ("--voice", "it's me.npz", "--semantic-temperature", 0.65, "--trim", *SHORT)
    output_of(
        run("speak", "Hello,\n world", "-m", "my bundle", "-o", "a.flac", "--seed", 5, *options)
    )
    manifest = Manifest.read(folder / "my bundle")
    printed, command = output_of(run("info", "a.flac")).split("\n\nTo generate it again:\n")
    lines = printed.splitlines()
    for line in (
        "text        Hello, world",
        "seed        5",
        "generation  semantic_temperature 0.65",
        "stream      trim True",
        f"bundle      my bundle: random, fp32, {manifest.fingerprint('fp32')}",
        "provider    cpu",
    ):
        assert line in lines
    assert any(line.startswith("voice       it's me.npz (sha256 ") for line in lines)
    assert shlex.split(command)[:3] == ["bark-onnx", "speak", "Hello,\n world"]


def test_info_shortens_a_text_without_control_characters(run: Run, random_bark: Bark) -> None:
    speech = random_bark.speak("Hello", seed=1, semantic_max_new_tokens=5)
    assert speech.provenance is not None
    text = "a\x1b[2Jb\nc\u202e" + "x" * 500
    provenance = dataclasses.replace(speech.provenance, text=text)
    dataclasses.replace(speech, provenance=provenance).save("a.wav")
    printed = output_of(run("info", "a.wav"))
    assert f"text        a [2Jb c {'x' * 190}… ({len(text)} characters)" in printed.splitlines()
    assert all(character.isprintable() or character == "\n" for character in printed)


def test_json_has_the_provenance_and_the_command(run: Run, folder: Path) -> None:
    output_of(run("speak", LANGUAGES, "-m", "my bundle", "-o", "a.wav", "--seed", 5, *SHORT))
    found = json.loads(output_of(run("info", "a.wav", "--json")))
    assert (found["file"], found["text"], found["seed"]) == ("a.wav", LANGUAGES, 5)
    assert found["generation"] == {"semantic_max_new_tokens": 15}
    assert found["command"] == output_of(run("info", "a.wav", "--command")).strip()
    assert found["warnings"] == []
    bundle = json.loads(output_of(run("info", "my bundle", "--json")))
    assert bundle == json.loads((folder / "my bundle" / "bark.json").read_text("utf-8"))


def test_bundle_can_be_an_argument_or_an_option(run: Run, folder: Path) -> None:
    assert output_of(run("info", "my bundle")) == output_of(run("info", "-m", "my bundle"))


def test_other_bundle_in_the_command_causes_a_warning(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, standard_bundle: Path
) -> None:
    output_of(run("speak", "Hello", "-m", "my bundle", "-o", "a.wav", "--seed", 5, *SHORT))
    monkeypatch.setenv("BARK_ONNX_MODEL", "elsewhere")
    assert "-m 'my bundle'" in output_of(run("info", "a.wav", "--command"))
    out = output_of(run("info", "a.wav", "-m", standard_bundle))
    assert f"-m {standard_bundle} " in out
    assert "another bundle than the one that was used" in out


def test_changed_voice_causes_a_warning(run: Run, folder: Path) -> None:
    options = ("--voice", "it's me.npz", *SHORT)
    output_of(run("speak", "Hello", "-m", "my bundle", "-o", "a.wav", "--seed", 5, *options))
    assert "warning" not in output_of(run("info", "a.wav"))
    with (folder / "it's me.npz").open("ab") as file:
        file.write(b"x")
    out = output_of(run("info", "a.wav"))
    assert "warning     it's me.npz is another voice than the one that was used" in out


def test_no_metadata_omits_the_provenance(run: Run, folder: Path) -> None:
    output_of(run("speak", "A secret", "-m", "my bundle", "-o", "a.wav", "--no-metadata", *SHORT))
    assert b"secret" not in (folder / "a.wav").read_bytes()
    assert_fails(run("info", "a.wav"), 1, "a.wav has no provenance", "--no-metadata")


@pytest.mark.parametrize("option", [(), ("--json",), ("--text",), ("--command",)])
def test_file_without_provenance_is_one_line(
    run: Run, tmp_path: Path, option: tuple[str, ...]
) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(10), 24_000)
    assert_fails(run("info", "a.wav", *option), 1, "a.wav has no provenance")
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    assert_fails(run("info", "a.wav", *option), 1, "a.wav", "not a sound file, or damaged")
    (tmp_path / "a.wav").unlink()
    assert_fails(run("info", "a.wav", *option), 1, "a.wav", "no such file")


def test_damaged_provenance_is_one_line(run: Run, folder: Path) -> None:
    output_of(run("speak", "Hello", "-m", "my bundle", "-o", "a.wav", *SHORT))
    data = (folder / "a.wav").read_bytes()
    (folder / "a.wav").write_bytes(data.replace(b'"format":3', b'"format":9'))
    assert_fails(run("info", "a.wav"), 1, "a.wav", "format is 9", "expected", "newer")
    (folder / "a.wav").write_bytes(data.replace(b'"semantic_max_', b'"semantic_min_'))
    assert_fails(run("info", "a.wav"), 1, "semantic_min_new_tokens", "unknown to this version")


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("a.wav", "--json", "--text"), 1, ("--json", "exclude each other")),
        (("one", "-m", "two"), 1, ("two bundles, one and two", "expected one")),
        (("bundle", "--text"), 1, ("--text", "sound files")),
        (("bundle", "--command"), 1, ("--command", "sound files")),
        (("nowhere",), 1, ("nowhere", "no such folder")),
        ((), 2, ("--model", "bark-onnx info --help")),
    ],
)
def test_impossible_info_is_one_line(
    run: Run, arguments: tuple[str, ...], status: int, words: tuple[str, ...]
) -> None:
    assert_fails(run("info", *arguments), status, *words)


def test_text_too_long_for_its_file_is_read_from_another_file(random_bark: Bark) -> None:
    speech = random_bark.speak("Hello", seed=1, semantic_max_new_tokens=2)
    assert speech.provenance is not None
    left_out = speech.provenance.without_text()
    assert " -i text.txt " in _replay(left_out, Path("a.opus"))
    assert "the text was too long for the file; put it into text.txt" in [
        *replay_warnings(left_out)
    ]


def test_every_line_has_its_own_provenance(run: Run, folder: Path) -> None:
    options = ("-i", "-", "--lines", "-m", "my bundle", "--seed", 5, *SHORT)
    lines = b"One.\nTwo.\n"
    output_of(run("speak", *options, "-o", "out/", stdin=lines))
    paths = sorted((folder / "out").iterdir())
    assert [read_provenance(path).text for path in paths] == ["One.", "Two."]
    run_in_shell(output_of(run("info", paths[1], "--command")), folder)
    again = paths[1].with_stem(f"{paths[1].stem}-again")
    assert again.read_bytes() == paths[1].read_bytes()
    output_of(run("speak", *options, "-o", "secret/", "--no-metadata", stdin=lines))
    for path in (folder / "secret").iterdir():
        assert_fails(run("info", path), 1, "no provenance")


def test_file_with_another_suffix_is_generated_again_in_its_format(run: Run, folder: Path) -> None:
    options = ("-m", "my bundle", "--seed", 5, *SHORT)
    output_of(run("speak", "Hello", *options, "-o", "a.sound", "--format", "mp3"))
    run_in_shell(output_of(run("info", "a.sound", "--command")), folder)
    assert (folder / "a.sound-again.mp3").read_bytes() == (folder / "a.sound").read_bytes()


# Contents of the provenance


def test_every_option_that_changes_the_sound_is_recorded() -> None:
    settings = {field.name for field in dataclasses.fields(GenerationOptions)}
    for_all_stages = {"temperature", "top_k", "top_p", "do_sample"}  # set several of those
    single = {"text", "file", "voice", "speakers", "seed", "bundle", "precision", "provider"}
    single |= {"sample_rate_hz"}
    covered = settings | for_all_stages | {"sampling", "greedy"} | single | STREAM_NAMES
    covered -= {"seed_bits"}  # hidden
    names = {option.name for option in cli.speak.params if not getattr(option, "hidden", False)}
    assert names == covered | NOT_RECORDED


def test_every_stream_option_is_recorded(random_bark: Bark) -> None:
    changes = {
        "language": "de",
        "max_seconds": 5.0,
        "history": "previous",
        "attempts": 2,
        "silence_seconds": 0.0,
        "crossfade_seconds": 0.1,
        "trim": True,
        "limit_duration": True,
        "normalize_peak": 0.5,
        "seed_bits": 64,
    }
    assert changes.keys() == STREAM_NAMES - NOT_RECORDED
    for name, value in changes.items():
        settings = {name: value, "semantic_max_new_tokens": 2, "seed": 1}
        speech = next(random_bark.stream("Hello", **settings))  # type: ignore[arg-type]
        assert speech.provenance is not None
        assert speech.provenance.stream == {name: value}
        assert f"--{name.replace('_', '-')}" in _replay(speech.provenance, Path("a.wav"))


def test_every_generation_option_is_recorded(random_bark: Bark) -> None:
    options = GenerationOptions.suno().replace(semantic_max_new_tokens=5)
    assert None not in dataclasses.asdict(options).values()
    provenance = random_bark.speak("Hello", seed=1, options=options).provenance
    assert provenance is not None
    assert provenance.generation == dataclasses.asdict(options)


def test_fingerprint_distinguishes_bundles(random_bundle: Path) -> None:
    manifest = Manifest.read(random_bundle)
    more = {"int8/fine.onnx": FileRecord(1, "ab"), "voices/me.npz": FileRecord(1, "cd")}
    larger = dataclasses.replace(manifest, files=manifest.files | more)
    assert larger.fingerprint("fp32") == manifest.fingerprint("fp32")
    assert larger.fingerprint("int8") not in (
        manifest.fingerprint("int8"),
        larger.fingerprint("fp32"),
    )
    warmer = dataclasses.replace(
        manifest.generation.coarse.sampling, temperature=0.9, do_sample=True
    )
    coarse = dataclasses.replace(manifest.generation.coarse, sampling=warmer)
    generation = dataclasses.replace(manifest.generation, coarse=coarse)
    changed = dataclasses.replace(manifest, generation=generation)
    assert changed.fingerprint("fp32") != manifest.fingerprint("fp32")


def test_provenance_has_neither_dates_nor_paths_that_were_not_given(run: Run, folder: Path) -> None:
    output_of(run("speak", "Hello", "-m", "my bundle", "-o", "a.wav", *SHORT))
    comment = read_tags(folder / "a.wav").comment
    assert str(folder) not in comment
    assert str((folder / "my bundle").resolve()) not in comment
    assert "date" not in comment
    assert str(folder.parent.parent) not in comment
