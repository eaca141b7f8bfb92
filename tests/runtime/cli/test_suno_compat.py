"""bark-onnx speak: option names of Suno's own command."""

from pathlib import Path

import pytest
import soundfile

from tests.support.command import Run, assert_fails, output_of

NAMES = ("text", "history_prompt", "text_temp", "waveform_temp", "output_filename", "output_dir")
VOICE = "v2/en_speaker_0"
SHORT = ("--semantic-max-new-tokens", 10, "--seed", 1)


def test_suno_options_equal_their_counterparts(
    run: Run, random_bundle: Path, tmp_path: Path
) -> None:
    suno = (
        *("--text", "Hello", "--history_prompt", VOICE, "--text_temp", 0.6),
        *("--waveform_temp", 0.8, "--output_filename", "suno.wav", "--output_dir", "new/folder"),
    )
    ours = (
        *("Hello", "--voice", VOICE, "--semantic-temperature", 0.6),
        *("--coarse-temperature", 0.8, "-o", "ours.wav"),
    )
    output_of(run("speak", "-m", random_bundle, *suno, *SHORT))
    output_of(run("speak", "-m", random_bundle, *ours, *SHORT))
    output_of(run("speak", "Hello", "-m", random_bundle, "-o", "plain.wav", *SHORT))
    first = (tmp_path / "new" / "folder" / "suno.wav").read_bytes()
    assert first == (tmp_path / "ours.wav").read_bytes()
    assert first != (tmp_path / "plain.wav").read_bytes()


def test_suno_temperature_changes_one_stage(run: Run, random_bundle: Path) -> None:
    for name, stage in (("--text_temp", "semantic"), ("--waveform_temp", "coarse")):
        output_of(run("speak", "Hello", "-m", random_bundle, name, 0.3, *SHORT))
        out = output_of(run("info", "speech.wav"))
        lines = [line for line in out.splitlines() if "_temperature" in line]
        assert lines == [f"generation  {stage}_temperature 0.3"]


def test_output_dir_holds_a_file_with_suno_default_name(
    run: Run, random_bundle: Path, tmp_path: Path
) -> None:
    output_of(
        run("speak", "--text", "-", "-m", random_bundle, "--output_dir", "a", *SHORT, stdin=b"Hi")
    )
    assert soundfile.info(tmp_path / "a" / "bark_generation.wav").frames


def test_history_prompt_can_be_a_file(run: Run, random_bundle: Path) -> None:
    path = random_bundle / "voices" / f"{VOICE}.npz"
    output_of(run("speak", "--text", "Hi", "-m", random_bundle, "--history_prompt", path, *SHORT))


def test_first_version_preset_does_not_match_a_second_version_preset(
    run: Run, random_bundle: Path
) -> None:
    arguments = ("--text", "Hi", "--history_prompt", "en_speaker_0")
    result = run("speak", "-m", random_bundle, *arguments)
    assert_fails(result, 1, '"en_speaker_0" not found', f"nearest: {VOICE}")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--text", "a", "b"), ("--text", "TEXT")),
        (("--text", "a", "-i", "b.txt"), ("--text", "--input")),
        (("a", "--history_prompt", "x", "--voice", "y"), ("--history_prompt", "--voice")),
        (
            ("a", "--text_temp", 1, "--semantic-temperature", 1),
            ("--text_temp", "--semantic-temperature"),
        ),
        (
            ("a", "--waveform_temp", 1, "--coarse-temperature", 1),
            ("--waveform_temp", "--coarse-temperature"),
        ),
        (("a", "--output_filename", "x.wav", "-o", "y.wav"), ("--output_filename", "--output")),
        (("a", "--output_dir", "x", "-o", "y.wav"), ("--output_dir", "--output")),
        (("a", "--text_temp", -1), ("--semantic-temperature", "-1")),
    ],
)
def test_option_given_by_both_names_is_refused(
    run: Run, tmp_path: Path, arguments: tuple[object, ...], words: tuple[str, ...]
) -> None:
    assert_fails(run("speak", "-m", "nowhere", *arguments), 1, *words)
    assert list(tmp_path.iterdir()) == []


def test_output_dir_that_cannot_be_created_is_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert_fails(
        run("speak", "a", "-m", "nowhere", "--output_dir", "file/x"), 1, "file/x", "be created"
    )


def test_suno_options_are_hidden(run: Run) -> None:
    text = output_of(run("speak", "--help"))
    for name in NAMES:
        assert f"--{name} " not in text
    assert "_temp " not in text


def test_output_dir_is_removed_again_after_an_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    for folder in ("a/b", "kept/c", "kept"):
        assert_fails(run("speak", "a", "-m", "nowhere", "--output_dir", folder), 1, "nowhere")
    assert [path.name for path in tmp_path.rglob("*")] == ["kept"]
