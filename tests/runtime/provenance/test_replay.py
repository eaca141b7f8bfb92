"""Provenance as a shell command, without the command line."""

import dataclasses
import hashlib
import shlex
from pathlib import Path

import click
import pytest
from click.core import ParameterSource
from hypothesis import given, settings
from hypothesis import strategies as st

from bark_onnx.graphs.bundle.manifest import Manifest
from bark_onnx.graphs.voices.voice import is_voice_name
from bark_onnx.runtime import AudioError, GenerationOptions, OptionsError
from bark_onnx.runtime.cli.speak import speak
from bark_onnx.runtime.cli.speech.input_text import parse_speakers
from bark_onnx.runtime.options.stream import STREAM_OPTION_NAMES
from bark_onnx.runtime.provenance.provenance import BundleRef, Provenance, VoiceRef
from bark_onnx.runtime.provenance.replay import replay_command, replay_warnings
from tests.support.messages import assert_one_line
from tests.support.provenance import PROVENANCE

GENERATION_NAMES = {field.name for field in dataclasses.fields(GenerationOptions)}
STREAM_VALUES = {
    "language": "de",
    "history": "previous",
    "attempts": 2,
    "seed_bits": 64,
    **dict.fromkeys(("silence_seconds", "crossfade_seconds", "normalize_peak"), 0.5),
    "max_seconds": 5.0,
}
SHORT = dataclasses.replace(PROVENANCE, text="Hello", speakers={}, generation={}, stream={})


def arguments(provenance: Provenance, bundle: str | None = None) -> list[str]:
    """The words of the command."""
    command = replay_command(provenance, Path("a b.wav"), Path("again.wav"), bundle=bundle)
    return shlex.split(command)


def with_stream(**stream: bool | float | str) -> list[str]:
    return arguments(dataclasses.replace(SHORT, stream=stream))


def with_bundle(**changes: str) -> Provenance:
    return dataclasses.replace(SHORT, bundle=dataclasses.replace(SHORT.bundle, **changes))


def with_generation(**generation: bool | float) -> list[str]:
    return arguments(dataclasses.replace(SHORT, generation=generation))


def test_the_command_has_everything_that_is_known() -> None:
    converted = dataclasses.replace(PROVENANCE, sample_rate_hz=16_000)
    assert arguments(converted) == [
        *("bark-onnx", "speak", "Hello,\nworld", "-m", "BUNDLE", "-o", "again.wav"),
        *("--voice", "voice.npz", "--speaker", "Anna=v2/en_speaker_6", "--speaker", "Ben="),
        *("--seed", str(2**63), "--semantic-temperature", "0.30000000000000004"),
        *("--semantic-top-k", "0", "--fine-do-sample", "--history", "previous"),
        *("--sample-rate", "16000", "--precision", "int8", "--provider", "cpu"),
    ]
    assert arguments(converted, bundle="other")[3:5] == ["-m", "other"]


def test_a_text_that_cannot_be_pasted_is_piped_or_read_from_a_file() -> None:
    for text in ("-", "x" * 2001, "a\x07"):
        command = arguments(dataclasses.replace(SHORT, text=text))
        assert command[:6] == ["bark-onnx", "info", "--text", "--", "a b.wav", "|"]
        assert command[6:9] == ["bark-onnx", "speak", "-"]
    assert arguments(dataclasses.replace(SHORT, text="-5 °C"))[-2:] == ["--", "-5 °C"]
    assert "a\r\nb" in arguments(dataclasses.replace(SHORT, text="a\r\nb"))
    assert arguments(SHORT.without_text())[2:4] == ["-i", "text.txt"]


def test_every_stream_option_has_a_flag_of_its_name() -> None:
    assert STREAM_VALUES.keys() | {"trim", "limit_duration", "concurrency"} == STREAM_OPTION_NAMES
    for name, value in STREAM_VALUES.items():
        command = with_stream(**{name: value})
        assert command[command.index(f"--{name.replace('_', '-')}") + 1] == str(value)
    assert "--trim" in with_stream(trim=True)
    assert not any("trim" in word for word in with_stream(trim=False))


def test_a_boolean_generation_option_has_a_flag_for_either_value() -> None:
    assert "--semantic-do-sample" in with_generation(semantic_do_sample=True)
    assert "--no-semantic-do-sample" in with_generation(semantic_do_sample=False)


@pytest.mark.parametrize("name", ["greedy", "suno"])
def test_a_preset_is_named(name: str) -> None:
    options = getattr(GenerationOptions, name)().replace(semantic_max_new_tokens=9)
    chosen = dataclasses.asdict(options)
    command = with_generation(**{key: chosen[key] for key in chosen if chosen[key] is not None})
    start = command.index("--sampling")
    assert command[start : start + 4] == ["--sampling", name, "--semantic-max-new-tokens", "9"]


@pytest.mark.parametrize(
    "provenance",
    [
        dataclasses.replace(SHORT, stream={"output": "/etc/passwd"}),
        dataclasses.replace(SHORT, generation={"output": "/etc/passwd"}),
        dataclasses.replace(SHORT, generation={"trim": True}),
        dataclasses.replace(SHORT, stream={"concurrency": 10**9}),
    ],
)
def test_an_unknown_setting_is_one_line(provenance: Provenance) -> None:
    with pytest.raises(AudioError) as caught:
        arguments(provenance)
    assert_one_line(caught.value, "unknown to this version", "update bark-onnx")


@pytest.mark.parametrize(
    ("provenance", "word"),
    [
        (dataclasses.replace(SHORT, generation={"semantic_top_k": "0 -o x"}), "semantic_top_k"),
        (dataclasses.replace(SHORT, stream={"attempts": -1}), "attempts"),
        (dataclasses.replace(SHORT, seed=-1), "seed"),
        (dataclasses.replace(SHORT, speakers={"A=x.npz": None}), "speaker"),
        (with_bundle(precision="fp32; rm"), "precision"),
        (with_bundle(provider="--output"), "provider"),
    ],
)
def test_an_impossible_value_is_one_line(provenance: Provenance, word: str) -> None:
    with pytest.raises(AudioError) as caught:
        arguments(provenance)
    assert_one_line(caught.value, word)


def test_a_bundle_is_taken_from_the_file_only_with_its_fingerprint(
    random_bundle: Path, tmp_path: Path
) -> None:
    fingerprint = Manifest.read(random_bundle).fingerprint("fp32")
    used = with_bundle(path=str(random_bundle), precision="fp32", fingerprint=fingerprint)
    assert arguments(used)[4] == str(random_bundle)
    for changed in (
        {"fingerprint": "0" * 16},
        {"path": str(tmp_path)},
        {"path": "owner/bundle"},
        {"path": f"/{random_bundle}"},  # a computer on the network, for Windows
    ):
        other = dataclasses.replace(used, bundle=dataclasses.replace(used.bundle, **changed))
        assert arguments(other)[4] == "BUNDLE"
        assert any("give -m" in line for line in replay_warnings(other))
        assert arguments(other, bundle="mine")[4] == "mine"


def test_a_voice_is_taken_from_a_path_only_with_its_checksum(
    random_bundle: Path, tmp_path: Path
) -> None:
    path = tmp_path / "me.npz"
    path.write_bytes(b"a voice")
    voice = VoiceRef(str(path), hashlib.sha256(b"a voice").hexdigest())
    used = dataclasses.replace(SHORT, voice=voice, speakers={"Anna": voice})
    command = arguments(used)
    assert command[command.index("--voice") + 1] == str(path)
    assert f"Anna={path}" in command
    for name, sha256 in (
        (str(path), "0" * 64),
        (str(tmp_path / "nowhere.npz"), voice.sha256),
        (str(path), ""),
        ("../../etc/passwd", voice.sha256),
        ("/dev/zero.npz", voice.sha256),
    ):
        other = dataclasses.replace(SHORT, voice=VoiceRef(name, sha256))
        command = arguments(other)
        assert command[command.index("--voice") + 1] == "voice.npz"


# Names that tempt a shell, an option parser, or a program that opens files.
NASTY = st.sampled_from(
    [
        *("/etc/passwd", "--output", "--output=/x.wav", "-o", "--save-voice=x.npz", "-", "--", ""),
        *("$(touch pwned)", "`id`", "; rm -rf .", "| sh", "a\nb", "'", '"', "~", "*", "x.npz"),
        *("../x.npz", "owner/name", "A=B", "//host/share/x.npz", "output", "timestamps", "file"),
        *("save_voice", "plot", "bundle", "play", "lines", "raw", "threads", "help", "input"),
    ]
)
TEXTS = NASTY | st.text(max_size=20)
SETTINGS = NASTY | st.sampled_from(sorted(STREAM_OPTION_NAMES | GENERATION_NAMES))
VALUES = TEXTS | st.integers() | st.floats() | st.booleans()
VOICES = st.none() | st.builds(VoiceRef, TEXTS, TEXTS)
FROM_THE_FILE = {
    *("text", "voice", "speakers", "seed", "sample_rate_hz", "precision", "provider"),
    *("sampling", *GENERATION_NAMES, *STREAM_OPTION_NAMES - {"concurrency"}),
}


@settings(max_examples=500, deadline=None)
@given(
    st.builds(
        Provenance,
        software=TEXTS,
        text=st.none() | TEXTS,
        seed=st.integers(),
        bundle=st.builds(
            BundleRef,
            path=TEXTS,
            source=TEXTS,
            precision=TEXTS | st.just("fp32"),
            fingerprint=TEXTS,
            sample_rate_hz=st.integers(),
            provider=TEXTS | st.just("cpu"),
            onnxruntime=TEXTS,
        ),
        voice=VOICES,
        speakers=st.dictionaries(TEXTS, VOICES, max_size=2),
        generation=st.dictionaries(SETTINGS, VALUES, max_size=2),
        stream=st.dictionaries(SETTINGS, VALUES, max_size=2),
        sample_rate_hz=st.none() | st.integers(),
    )
)
def test_a_command_has_settings_of_the_file_and_nothing_else(provenance: Provenance) -> None:
    try:
        command = arguments(provenance, bundle="mine")
    except AudioError as error:
        assert_one_line(error)
        return
    if "|" in command[:7]:
        assert command[:6] == ["bark-onnx", "info", "--text", "--", "a b.wav", "|"]
        command = command[6:]
    assert command[:2] == ["bark-onnx", "speak"]
    try:
        context = speak.make_context("speak", command[2:])
        speakers = parse_speakers(context.params["speakers"])
    except (click.UsageError, OptionsError):  # a value that an option refuses: nothing runs
        return
    given_names = {
        name
        for name in context.params
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    assert given_names <= FROM_THE_FILE | {"bundle", "output", "file"}
    assert (context.params["bundle"], context.params["output"]) == ("mine", "again.wav")
    assert context.params["file"] == (None if provenance.text is not None else "text.txt")
    voices = [context.params["voice"], *speakers.values()]
    assert all(each in (None, "voice.npz") or is_voice_name(each) for each in voices)


def test_warnings_name_what_differs(tmp_path: Path) -> None:
    (tmp_path / "me.npz").write_bytes(b"voice")
    digest = hashlib.sha256(b"voice").hexdigest()
    here = dataclasses.replace(
        SHORT, segment=None, voice=VoiceRef(str(tmp_path / "me.npz"), digest)
    )
    assert list(replay_warnings(here, bundle="mine")) == []
    (tmp_path / "me.npz").write_bytes(b"other")
    assert PROVENANCE.voice is not None
    voice = dataclasses.replace(PROVENANCE.voice, name=str(tmp_path / "me.npz"))
    arrays = dataclasses.replace(voice, sha256="")
    changed = dataclasses.replace(
        PROVENANCE.without_text(), voice=voice, speakers={"A": arrays, "B": None}
    )
    assert list(replay_warnings(changed)) == [
        "the file is segment 3 of the sound that the command generates",
        "the text was too long for the file; put it into text.txt",
        "a voice was given as arrays; save it (Voice.save) as voice.npz",
        "a speaker had no voice, which only the library supports",
        f"{voice.name} is another voice than the one that was used, or not here; put that one into "
        "voice.npz",
        "bundles/größe is not here, or another bundle than the one that was used; give -m",
    ]
