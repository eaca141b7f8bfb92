"""How a file was made: told by bark-onnx info, and made again by the command that it prints."""

import dataclasses
import inspect
import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

import bark_onnx.runtime.cli.main as cli
from bark_onnx.graphs.bundle.manifest import FileRecord, Manifest
from bark_onnx.runtime import Bark, GenerationOptions
from bark_onnx.runtime.cli.info import read_provenance
from bark_onnx.runtime.cli.options.output import OUTPUT
from bark_onnx.runtime.cli.options.stream import READING
from bark_onnx.runtime.provenance.replay import replay_command, replay_warnings
from bark_onnx.runtime.provenance.tags import read_tags
from tests.support.command import ENTRY_POINT, Run, failed, worked

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
# Options that change nothing in the sound, or say where it goes.
NOT_IN_A_RECIPE = {"threads", "low_memory", "together", "save_voice", *OUTPUT} - {"sample_rate_hz"}


@pytest.fixture
def folder(demo_bundle: Path, tmp_path: Path) -> Path:
    """Where the commands run: a bundle, named with a space, and a voice."""
    (tmp_path / "my bundle").symlink_to(demo_bundle)
    shutil.copy(demo_bundle / "voices" / f"{VOICE}.npz", tmp_path / "it's me.npz")
    return tmp_path


def in_a_shell(command: str, folder: Path) -> None:
    path = f"{ENTRY_POINT.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-euc", command],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


CASES = {
    "short": (LANGUAGES, ("--voice", VOICE)),
    "a voice from a file": ("-5 °C", ("--voice", "it's me.npz", "--greedy")),
    "as Suno says it": ("A line.\nAnd another.", ("--sampling", "suno", "--top-p", 0.9)),
    "long, each piece going on": (
        LONG * 10,
        (*("--continuity", "previous", "--max-seconds", 400), "--no-semantic-do-sample"),
    ),
    "many pieces": (LONG, ("--max-seconds", 4, "--language", "en", "--silence", 0.1)),
    "a dialogue": (
        DIALOGUE,
        (*("--cast", f"Anna={VOICE}", "--cast", "Ben=it's me.npz"), "--crossfade", 0.05),
    ),
    "at another rate": ("Hello", ("--sample-rate", 16_000)),
    "clean": ("Yes.\x07", ("--takes", 2, "--trim", "--peak", 0.5, "--stop-babble")),
}


@pytest.mark.filterwarnings("ignore:piece")
@pytest.mark.parametrize(
    ("case", "suffix"),
    [
        *((case, "wav") for case in CASES),
        *(("short", suffix) for suffix in ("flac", "ogg", "mp3")),
        ("many pieces", "flac"),
    ],
)
def test_the_printed_command_makes_the_same_bytes(
    run: Run, folder: Path, case: str, suffix: str
) -> None:
    text, options = CASES[case]
    common = ("-m", "my bundle", "-o", f"a b.{suffix}", "--seed", 7, *SHORT)
    status, _, error = run("speak", *common, *options, "--", text)
    assert status == 0, error
    command = worked(run("info", f"a b.{suffix}", "--command")).removesuffix("\n")
    in_a_shell(command, folder)
    first, second = ((folder / f"{name}.{suffix}").read_bytes() for name in ("a b", "a b-again"))
    assert first == second
    assert soundfile.info(folder / f"a b.{suffix}").frames > 0


def test_a_long_text_comes_from_the_file_itself(run: Run, folder: Path) -> None:
    (folder / "text.txt").write_text(LONG * 20, encoding="utf-8")
    common = ("-m", "my bundle", "--seed", 1, "--max-seconds", 400, "--semantic-max-new-tokens", 3)
    worked(run("speak", "-i", "text.txt", *common, "-o", "-a.wav"))
    assert worked(run("info", "--text", "--", "-a.wav")) == LONG * 20
    command = worked(run("info", "--command", "--", "-a.wav"))
    assert command.startswith("bark-onnx info --text -- -a.wav | bark-onnx speak - ")
    in_a_shell(command, folder)
    assert (folder / "-a.wav").read_bytes() == (folder / "-a-again.wav").read_bytes()


def test_what_the_library_says_can_be_said_again(
    demo: Bark, demo_bundle: Path, folder: Path
) -> None:
    options = GenerationOptions(semantic_max_new_tokens=15)
    text = LONG  # longer than the command says in one piece unless told
    demo.speak(text, seed=3, voice=folder / "it's me.npz", options=options).save(folder / "a.wav")
    demo.submit("Hello", seed=3, voice=VOICE, options=options).result().save(folder / "b.wav")
    for name in "ab":
        provenance = read_provenance(folder / f"{name}.wav")
        assert provenance.bundle.path == str(demo_bundle)
        in_a_shell(replay_command(provenance, folder / f"{name}.wav"), folder)
        first, second = ((folder / f"{name}{end}.wav").read_bytes() for end in ("", "-again"))
        assert first == second


def test_a_piece_of_a_long_text_says_which_it_is(run: Run, demo: Bark, tmp_path: Path) -> None:
    speeches = list(demo.stream(LONG, max_seconds=4, seed=1, semantic_max_new_tokens=5))
    assert [speech.provenance.piece for speech in speeches if speech.provenance] == [
        *range(1, len(speeches) + 1)
    ]
    speeches[1].save(tmp_path / "a.wav")
    out = worked(run("info", "a.wav"))
    assert "remark      the file is piece 2 of what the command says" in out
    (single,) = demo.stream("Hello", seed=1, semantic_max_new_tokens=5)
    assert single.provenance is not None
    assert single.provenance.piece is None


def test_a_voice_that_has_no_file_is_told(run: Run, demo: Bark, tmp_path: Path) -> None:
    voice = demo.voice(VOICE)
    demo.speak("Hello", voice=voice, seed=1, semantic_max_new_tokens=5).save(tmp_path / "a.wav")
    out = worked(run("info", "a.wav"))
    assert f"voice       {VOICE} (given as arrays)" in out
    assert "save it (Voice.save) as voice.npz" in out
    assert "--voice voice.npz" in out


def test_a_speaker_without_a_voice_is_told(run: Run, demo: Bark, tmp_path: Path) -> None:
    (speech,) = demo.stream("A: Hello", cast={"A": None}, seed=1, semantic_max_new_tokens=5)
    speech.save(tmp_path / "a.wav")
    assert "only the library can ask for" in worked(run("info", "a.wav"))


def test_info_tells_what_was_asked_for(run: Run, folder: Path) -> None:
    options = ("--voice", "it's me.npz", "--semantic-temperature", 0.65, "--trim", *SHORT)
    worked(run("speak", "Hello,\n world", "-m", "my bundle", "-o", "a.flac", "--seed", 5, *options))
    manifest = Manifest.read(folder / "my bundle")
    told, command = worked(run("info", "a.flac")).split("\n\nTo make it again:\n")
    lines = told.splitlines()
    for line in (
        "text        Hello, world",
        "seed        5",
        "generation  semantic_temperature 0.65",
        "reading     trim True",
        f"bundle      my bundle: demo, fp32, {manifest.fingerprint('fp32')}",
        "provider    cpu",
    ):
        assert line in lines
    assert any(line.startswith("voice       it's me.npz (sha256 ") for line in lines)
    assert shlex.split(command)[:3] == ["bark-onnx", "speak", "Hello,\n world"]


def test_info_shortens_a_text_and_leaves_the_terminal_as_it_is(run: Run, demo: Bark) -> None:
    said = demo.speak("Hello", seed=1, semantic_max_new_tokens=5)
    assert said.provenance is not None
    text = "a\x1b[2Jb\nc\u202e" + "x" * 500
    dataclasses.replace(said, provenance=dataclasses.replace(said.provenance, text=text)).save(
        "a.wav"
    )
    told = worked(run("info", "a.wav"))
    assert f"text        a [2Jb c {'x' * 190}… ({len(text)} characters)" in told.splitlines()
    assert all(character.isprintable() or character == "\n" for character in told)


def test_info_tells_machines(run: Run, folder: Path) -> None:
    worked(run("speak", LANGUAGES, "-m", "my bundle", "-o", "a.wav", "--seed", 5, *SHORT))
    found = json.loads(worked(run("info", "a.wav", "--json")))
    assert (found["file"], found["text"], found["seed"]) == ("a.wav", LANGUAGES, 5)
    assert found["generation"] == {"semantic_max_new_tokens": 15}
    assert found["command"] == worked(run("info", "a.wav", "--command")).strip()
    assert found["remarks"] == []
    bundle = json.loads(worked(run("info", "my bundle", "--json")))
    assert bundle == json.loads((folder / "my bundle" / "bark.json").read_text("utf-8"))


def test_a_bundle_may_be_named_either_way(run: Run, folder: Path) -> None:
    assert worked(run("info", "my bundle")) == worked(run("info", "-m", "my bundle"))


def test_another_bundle_may_say_it(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, standard_bundle: Path
) -> None:
    worked(run("speak", "Hello", "-m", "my bundle", "-o", "a.wav", "--seed", 5, *SHORT))
    monkeypatch.setenv("BARK_ONNX_MODEL", "elsewhere")
    assert "-m 'my bundle'" in worked(run("info", "a.wav", "--command"))
    out = worked(run("info", "a.wav", "-m", standard_bundle))
    assert f"-m {standard_bundle} " in out
    assert "another bundle than the one that spoke" in out


def test_a_voice_that_has_changed_is_told(run: Run, folder: Path) -> None:
    options = ("--voice", "it's me.npz", *SHORT)
    worked(run("speak", "Hello", "-m", "my bundle", "-o", "a.wav", "--seed", 5, *options))
    assert "remark" not in worked(run("info", "a.wav"))
    with (folder / "it's me.npz").open("ab") as file:
        file.write(b"x")
    out = worked(run("info", "a.wav"))
    assert "remark      it's me.npz is another voice than the one that was used" in out


def test_who_does_not_want_it_leaves_it_out(run: Run, folder: Path) -> None:
    worked(run("speak", "A secret", "-m", "my bundle", "-o", "a.wav", "--no-metadata", *SHORT))
    assert b"secret" not in (folder / "a.wav").read_bytes()
    failed(run("info", "a.wav"), 1, "a.wav does not tell", "--no-metadata")


@pytest.mark.parametrize("option", [(), ("--json",), ("--text",), ("--command",)])
def test_a_file_without_a_recipe_is_one_line(
    run: Run, tmp_path: Path, option: tuple[str, ...]
) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(10), 24_000)
    failed(run("info", "a.wav", *option), 1, "a.wav does not tell how it was made")
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    failed(run("info", "a.wav", *option), 1, "a.wav", "not a sound file, or damaged")
    (tmp_path / "a.wav").unlink()
    failed(run("info", "a.wav", *option), 1, "a.wav", "no such file")


def test_a_damaged_recipe_is_one_line(run: Run, folder: Path) -> None:
    worked(run("speak", "Hello", "-m", "my bundle", "-o", "a.wav", *SHORT))
    data = (folder / "a.wav").read_bytes()
    (folder / "a.wav").write_bytes(data.replace(b'"format":1', b'"format":9'))
    failed(run("info", "a.wav"), 1, "a.wav", "format is 9", "expected 1", "newer")
    (folder / "a.wav").write_bytes(data.replace(b'"semantic_max_', b'"semantic_min_'))
    failed(run("info", "a.wav"), 1, "semantic_min_new_tokens", "unknown to this version")


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
def test_what_cannot_be_told_is_one_line(
    run: Run, arguments: tuple[str, ...], status: int, words: tuple[str, ...]
) -> None:
    failed(run("info", *arguments), status, *words)


def test_a_text_too_long_for_its_file_comes_from_another(demo: Bark) -> None:
    speech = demo.speak("Hello", seed=1, semantic_max_new_tokens=2)
    assert speech.provenance is not None
    left_out = speech.provenance.without_text()
    assert " -i text.txt " in replay_command(left_out, Path("a.opus"))
    assert "the text was too long for the file; put it into text.txt" in [
        *replay_warnings(left_out)
    ]


def test_every_line_tells_how_it_was_made_alone(run: Run, folder: Path) -> None:
    options = ("-i", "-", "--lines", "-m", "my bundle", "--seed", 5, *SHORT)
    lines = b"One.\nTwo.\n"
    worked(run("speak", *options, "-o", "out/", stdin=lines))
    paths = sorted((folder / "out").iterdir())
    assert [read_provenance(path).text for path in paths] == ["One.", "Two."]
    in_a_shell(worked(run("info", paths[1], "--command")), folder)
    again = paths[1].with_stem(f"{paths[1].stem}-again")
    assert again.read_bytes() == paths[1].read_bytes()
    worked(run("speak", *options, "-o", "secret/", "--no-metadata", stdin=lines))
    for path in (folder / "secret").iterdir():
        failed(run("info", path), 1, "does not tell")


def test_a_file_whose_suffix_says_nothing_is_made_again_in_its_format(
    run: Run, folder: Path
) -> None:
    options = ("-m", "my bundle", "--seed", 5, *SHORT)
    worked(run("speak", "Hello", *options, "-o", "a.sound", "--format", "mp3"))
    in_a_shell(worked(run("info", "a.sound", "--command")), folder)
    assert (folder / "a.sound-again.mp3").read_bytes() == (folder / "a.sound").read_bytes()


# What a recipe holds


def test_every_option_that_changes_the_sound_is_in_the_recipe() -> None:
    settings = {field.name for field in dataclasses.fields(GenerationOptions)}
    for_all_stages = {"temperature", "top_k", "top_p", "do_sample"}  # end up in those
    single = {"text", "file", "voice", "cast", "seed", "bundle", "precision", "provider"}
    single |= {"sample_rate_hz"}
    covered = settings | for_all_stages | {"sampling"} | single | set(READING)
    names = {option.name for option in cli.speak.params if not getattr(option, "hidden", False)}
    assert names == covered | NOT_IN_A_RECIPE


def test_every_way_of_reading_is_in_the_recipe(demo: Bark) -> None:
    changes = {
        "language": "de",
        "max_seconds": 5.0,
        "continuity": "previous",
        "takes": 2,
        "silence_seconds": 0.0,
        "crossfade_seconds": 0.1,
        "trim": True,
        "stop_babble": True,
        "peak": 0.5,
    }
    assert changes.keys() == {*READING} - NOT_IN_A_RECIPE
    assert changes.keys() <= inspect.signature(Bark.stream).parameters.keys()
    for name, value in changes.items():
        settings = {name: value, "semantic_max_new_tokens": 2, "seed": 1}
        speech = next(demo.stream("Hello", **settings))  # type: ignore[arg-type]
        assert speech.provenance is not None
        assert speech.provenance.reading == {name: value}
        assert f"--{name.split('_')[0]}" in replay_command(speech.provenance, Path("a.wav"))


def test_every_setting_is_in_the_recipe(demo: Bark) -> None:
    options = GenerationOptions.suno().replace(semantic_max_new_tokens=5)
    assert None not in dataclasses.asdict(options).values()
    provenance = demo.speak("Hello", seed=1, options=options).provenance
    assert provenance is not None
    assert provenance.generation == dataclasses.asdict(options)


def test_a_fingerprint_tells_bundles_apart(demo_bundle: Path) -> None:
    manifest = Manifest.read(demo_bundle)
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


def test_a_file_holds_no_date_and_no_path_that_was_not_given(run: Run, folder: Path) -> None:
    worked(run("speak", "Hello", "-m", "my bundle", "-o", "a.wav", *SHORT))
    comment = read_tags(folder / "a.wav").comment
    assert str(folder) not in comment
    assert str((folder / "my bundle").resolve()) not in comment
    assert "date" not in comment
    assert str(folder.parent.parent) not in comment
