"""The choice among Suno's files."""

import shutil
from pathlib import Path

import pytest

from bark_onnx.export.checkpoints.suno_files import parse_sizes
from tests.support.exporting import Run, assert_run_fails
from tests.support.suno import Twins, open_suno


def test_folder_with_both_sizes_of_a_stage_requires_a_choice(
    run: Run, suno_folder: Path, twins: Twins, tmp_path: Path
) -> None:
    shutil.copy(suno_folder / "text.pt", suno_folder / "text_2.pt")
    result = run(suno_folder, tmp_path / "b", *twins.arguments)
    assert_run_fails(
        result, 1, "text.pt and text_2.pt", "--size small", "--size large", "--size text=small"
    )
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("small", ("text.pt", "coarse.pt", "fine.pt")),
        ("large", ("text_2.pt", "coarse_2.pt", "fine_2.pt")),
        ("large,text=small", ("text.pt", "coarse_2.pt", "fine_2.pt")),
        ("fine=large, small", ("text.pt", "coarse.pt", "fine_2.pt")),
        ("text=small,coarse=large,fine=small", ("text.pt", "coarse_2.pt", "fine.pt")),
    ],
)
def test_sizes_apply_to_all_stages_or_to_one(
    suno_folder: Path, twins: Twins, size: str, expected: tuple[str, ...]
) -> None:
    for name, other in (("text", ""), ("coarse", ""), ("fine", "_2")):
        twin = f"{name}{'' if other else '_2'}.pt"
        (suno_folder / twin).symlink_to((suno_folder / f"{name}{other}.pt").resolve())
    assert f"({', '.join(expected)}, " in open_suno(suno_folder, twins, size=size).source


def test_size_of_one_stage_suffices_when_only_that_is_ambiguous(
    suno_folder: Path, twins: Twins
) -> None:
    (suno_folder / "text_2.pt").symlink_to((suno_folder / "text.pt").resolve())
    assert (
        "(text_2.pt, coarse.pt, fine_2.pt,"
        in open_suno(suno_folder, twins, size="text=large").source
    )


def test_missing_size_is_refused(run: Run, suno_folder: Path, twins: Twins, tmp_path: Path) -> None:
    result = run(suno_folder, tmp_path / "b", *twins.arguments, "--size", "small")
    assert_run_fails(result, 1, "no fine.pt", "fine_2.pt", "--size fine=large")


@pytest.mark.parametrize(
    "size", ["", "medium", "semantic=small", "text", "text=", "=small", "small,,large"]
)
def test_unknown_size_is_refused(
    run: Run, suno_folder: Path, twins: Twins, tmp_path: Path, size: str
) -> None:
    result = run(suno_folder, tmp_path / "b", *twins.arguments, "--size", size)
    assert_run_fails(
        result, 1, f"--size {size!r}", "small, large", "text=small,coarse=small,fine=large"
    )


def test_sizes_are_empty_without_a_choice() -> None:
    assert parse_sizes(None) == {}


@pytest.mark.parametrize(("name", "other"), [("text.pt", "text_2.pt"), ("fine_2.pt", "fine.pt")])
def test_missing_file_is_named(
    run: Run, suno_folder: Path, twins: Twins, tmp_path: Path, name: str, other: str
) -> None:
    (suno_folder / name).unlink()
    result = run(suno_folder, tmp_path / "b", *twins.arguments)
    assert_run_fails(result, 1, str(suno_folder), "no ", name, other, "suno/bark")


def test_missing_codec_is_named_with_every_remedy(
    run: Run, suno_folder: Path, tmp_path: Path
) -> None:
    words = ("--codec", "facebook/encodec_24khz", "encodec_24khz-d7cc33bc.th", "Hugging Face")
    assert_run_fails(run(suno_folder, tmp_path / "b"), 1, str(suno_folder), *words)


def test_folder_is_refused_with_neither_layout(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = run(tmp_path / "empty", tmp_path / "b")
    assert_run_fails(result, 1, "empty", "config.json", "text.pt", "Hugging Face layout")
