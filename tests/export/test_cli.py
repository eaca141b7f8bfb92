"""bark-export: output, errors and exit statuses."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import bark_onnx.export.bundle
from bark_onnx.export.bundle import ExportOptions
from bark_onnx.export.checkpoints.checkpoint import Checkpoint
from bark_onnx.export.parity_report import parity_summary, parity_table
from bark_onnx.graphs.bundle.manifest import Manifest
from bark_onnx.graphs.errors import ExportError
from bark_onnx.graphs.installation import install_command
from tests.support.exporting import EXPORT, Run, assert_run_fails


@pytest.fixture
def calls(
    monkeypatch: pytest.MonkeyPatch, random_bundle: Path
) -> list[tuple[Checkpoint, Path, ExportOptions, bool]]:
    """Replace the export; calls are recorded, each with one step of progress."""
    calls = []

    def export_bundle(
        checkpoint: Checkpoint, target: Path, options: ExportOptions, *, force: bool, progress: Any
    ) -> Manifest:
        calls.append((checkpoint, target, options, force))
        progress("semantic: tracing")
        return Manifest.read(random_bundle)

    monkeypatch.setattr(bark_onnx.export.bundle, "export_bundle", export_bundle)
    return calls


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_shows_examples_and_every_option(run: Run, flag: str) -> None:
    status, out, err = run(flag)
    assert (status, err) == (0, "")
    assert "  bark-export suno/bark-small bark-small-onnx\n" in out
    assert "\\b" not in out
    assert "  bark-export ~/.cache/suno/bark_v0 " in out
    for option in ("--precision", "--attention", "--voices", "--verify / --no-verify", "--force"):
        assert option in out
    for option in ("--codec", "--size", "--tokenizer", "--voices-from", "--golden"):
        assert option in out
    assert "demo" in out


def test_version_is_that_of_the_package(run: Run) -> None:
    from importlib.metadata import version

    assert version("bark-onnx") in run("--version")[1]


def test_progress_goes_to_stderr_and_results_to_stdout(
    run: Run, calls: list[Any], random_checkpoint: Path, random_bundle: Path, tmp_path: Path
) -> None:
    status, out, err = run(random_checkpoint, tmp_path / "bundle")
    assert status == 0
    assert [line.partition("] ")[2] for line in err.splitlines()] == [
        f"{random_checkpoint}: opening",
        "semantic: tracing",
    ]
    size = sum(file.size for file in Manifest.read(random_bundle).files.values())
    summary, last = out.splitlines()
    assert last.startswith(f"{tmp_path / 'bundle'}: {size / 1e6:.1f} MB in ")
    assert summary == parity_summary(Manifest.read(random_bundle))
    _, out, _ = run(random_checkpoint, tmp_path / "other", "--verbose")
    *table, _ = out.splitlines()
    assert "\n".join(table) == parity_table(Manifest.read(random_bundle))


def test_parity_summary_counts_the_comparisons_and_names_the_closest(random_bundle: Path) -> None:
    manifest = Manifest.read(random_bundle)
    count = sum(map(len, manifest.parity.values()))
    summary = parity_summary(manifest)
    assert summary.startswith(f"{count} comparisons with PyTorch passed; the closest, fp32/")
    closest = max(
        case.largest_difference / case.tolerance
        for cases in manifest.parity.values()
        for case in cases
    )
    found, allowed = summary.rpartition(": ")[2].split(" of ")
    assert float(found) / float(allowed) == pytest.approx(closest, rel=0.2)


def test_empty_list_of_voices_is_one_line(run: Run, tmp_path: Path) -> None:
    assert_run_fails(run("random", tmp_path / "b", "--voices", ""), 1, "--voices is empty", "all")


def test_parity_table_lists_every_comparison_in_aligned_columns(random_bundle: Path) -> None:
    manifest = Manifest.read(random_bundle)
    header, *rows = parity_table(manifest).splitlines()
    assert header.split() == ["graph", "inputs", "largest", "difference", "allowed"]
    cases = [(graph, case) for graph, cases in manifest.parity.items() for case in cases]
    assert len(rows) == len(cases)
    for row, (graph, case) in zip(rows, cases, strict=True):
        assert row.startswith(graph)
        assert case.case in row
        assert row.endswith(f"{case.largest_difference:.1e}  {case.tolerance:.1e}")
    assert {len(row) for row in rows} == {len(header)}


def test_table_is_omitted_without_verification(
    run: Run, calls: list[Any], random_checkpoint: Path, tmp_path: Path
) -> None:
    status, out, _ = run(random_checkpoint, tmp_path / "bundle", "--no-verify")
    assert (status, len(out.splitlines())) == (0, 1)
    assert not calls[0][2].verify


def test_every_option_reaches_the_export(
    run: Run, calls: list[Any], random_checkpoint: Path, tmp_path: Path
) -> None:
    run(random_checkpoint, tmp_path / "a")
    run(
        random_checkpoint,
        tmp_path / "b",
        *("--attention", "standard", "--voices", "none", "--no-verify", "--force"),
        *("--precision", "fp32, fp32"),
    )
    (checkpoint, target, options, force), (_, other_target, other, forced) = calls
    assert checkpoint.folder == random_checkpoint
    assert (target, other_target) == (tmp_path / "a", tmp_path / "b")
    assert options == ExportOptions("fused", ("fp32",), "all", verify=True)
    assert other == ExportOptions("standard", ("fp32",), "none", verify=False)
    assert (force, forced) == (False, True)


def test_demo_checkpoint_is_temporary(
    run: Run, calls: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tempfile

    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    assert run("random", tmp_path / "bundle")[0] == 0
    assert calls[0][0].source == "random"
    assert list(scratch.iterdir()) == []


# Errors: one line on stderr, and a status


@pytest.mark.parametrize("precision", ["fp8", "fp32,bf16", "", "fp32,"])
def test_unknown_precision_is_refused(run: Run, tmp_path: Path, precision: str) -> None:
    assert_run_fails(
        run("random", tmp_path / "b", "--precision", precision), 1, "precision", "fp32"
    )
    assert not (tmp_path / "b").exists()


def test_unknown_form_of_attention_is_refused(run: Run, tmp_path: Path) -> None:
    result = run("random", tmp_path / "b", "--attention", "flash")
    assert_run_fails(result, 2, "'flash'", "fused", "standard", "bark-export --help")


def test_missing_arguments_are_named(run: Run) -> None:
    assert_run_fails(run(), 2, "SOURCE", "bark-export --help")
    assert_run_fails(run("random"), 2, "BUNDLE", "bark-export --help")


def test_unknown_option_is_named(run: Run) -> None:
    assert_run_fails(run("random", "b", "--quantize"), 2, "--quantize", "bark-export --help")


def test_missing_source_prints_one_line(run: Run, tmp_path: Path) -> None:
    assert_run_fails(run(tmp_path / "nowhere", tmp_path / "b"), 1, "nowhere", "no such folder")
    assert not (tmp_path / "b").exists()


def test_name_of_the_source_is_shown_on_one_line(run: Run, tmp_path: Path) -> None:
    code, _, err = run("./no\nwhere\u202e", tmp_path / "b")
    progress, error = err.splitlines()
    assert code == 1
    assert progress.endswith(r"./no\nwhere\u202e: opening")
    assert error.startswith(r"bark-export: ./no\nwhere\u202e: no such folder")


def test_source_that_is_not_bark_prints_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    assert_run_fails(run(tmp_path, tmp_path / "b"), 1, "'gpt2'", "expected 'bark'")


def test_unknown_voice_prints_one_line(run: Run, random_checkpoint: Path, tmp_path: Path) -> None:
    result = run(random_checkpoint, tmp_path / "b", "--voices", "v2/en_speaker_1")
    assert_run_fails(result, 1, '"v2/en_speaker_1"', "nearest: v2/en_speaker_0")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (ExportError("coarse.onnx differs; report it"), 1, "coarse.onnx differs; report it"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_aborted_export_prints_one_line(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    random_checkpoint: Path,
    tmp_path: Path,
    error: BaseException,
    status: int,
    words: str,
) -> None:
    def export_bundle(*_: object, **__: object) -> Manifest:
        raise error

    monkeypatch.setattr(bark_onnx.export.bundle, "export_bundle", export_bundle)
    assert_run_fails(run(random_checkpoint, tmp_path / "b"), status, words)


def test_command_names_the_package_when_torch_is_missing(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; "
        f"sys.argv[1:] = ['demo', {str(tmp_path / 'b')!r}]; "
        "from bark_onnx.export.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert_run_fails(
        (done.returncode, done.stdout, done.stderr), 1, "torch", install_command("export,cpu")
    )


def test_help_imports_no_torch() -> None:
    code = (
        "import sys; sys.argv[1:] = ['--help']\n"
        "from bark_onnx.export.cli import main\n"
        "try: main()\n"
        "finally: print('torch' in sys.modules, 'transformers' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "False False\n")


def test_module_runs_the_command() -> None:
    done = subprocess.run([*EXPORT, "--help"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: bark-export ")
