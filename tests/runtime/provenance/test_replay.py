"""Provenance as a shell command, without the command line."""

import dataclasses
import shlex
from pathlib import Path

import pytest

from bark_onnx.runtime import AudioError, GenerationOptions
from bark_onnx.runtime.options.stream import STREAM_OPTION_NAMES
from bark_onnx.runtime.provenance.provenance import Provenance
from bark_onnx.runtime.provenance.replay import replay_command, replay_warnings
from tests.support.messages import assert_one_line
from tests.support.provenance import PROVENANCE

SHORT = dataclasses.replace(PROVENANCE, text="Hello", speakers={}, generation={}, stream={})


def arguments(provenance: Provenance, bundle: str | None = None) -> list[str]:
    """The words of the command."""
    command = replay_command(provenance, Path("a b.wav"), Path("again.wav"), bundle=bundle)
    return shlex.split(command)


def with_stream(**stream: bool | float | str) -> list[str]:
    return arguments(dataclasses.replace(SHORT, stream=stream))


def with_generation(**generation: bool | float) -> list[str]:
    return arguments(dataclasses.replace(SHORT, generation=generation))


def test_the_command_has_everything_that_is_known() -> None:
    converted = dataclasses.replace(PROVENANCE, sample_rate_hz=16_000)
    assert arguments(converted) == [
        *("bark-onnx", "speak", "Hello,\nworld", "-m", "bundles/größe", "-o", "again.wav"),
        *("--voice", "me.npz", "--speaker", "Anna=v2/en_speaker_6", "--speaker", "Ben="),
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
    for name in STREAM_OPTION_NAMES:
        command = with_stream(**{name: 0.5})
        assert command[command.index(f"--{name.replace('_', '-')}") + 1] == "0.5"
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
    ],
)
def test_an_unknown_setting_is_one_line(provenance: Provenance) -> None:
    with pytest.raises(AudioError) as caught:
        arguments(provenance)
    assert_one_line(caught.value, "unknown to this version", "update bark-onnx")


def test_warnings_name_what_differs(tmp_path: Path) -> None:
    assert list(replay_warnings(dataclasses.replace(SHORT, segment=None))) == []
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
        f"{voice.name} is another voice than the one that was used",
    ]
