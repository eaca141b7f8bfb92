"""Signals, limits and closed streams: real processes of bark-onnx, which keep what was said."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import soundfile

from bark_onnx.graphs import interrupts
from bark_onnx.graphs.command_line import exit_on_errors
from bark_onnx.graphs.errors import BundleError, ProviderError
from bark_onnx.graphs.interrupts import Interrupt, exit_status
from tests.support.command import ENTRY_POINT, assert_fails, wait_for_partial
from tests.support.exporting import contents
from tests.support.messages import assert_one_line

TEXT = "Here is the first sentence of it. Then there is another one, somewhat longer. "
SETTINGS = ("--seed", "3", "--semantic-max-new-tokens", "15", "--max-seconds", "4")


def start(*arguments: object, folder: Path, **options: Any) -> subprocess.Popen[str]:
    # As from a terminal, also where the tests run under nohup.
    options.setdefault("preexec_fn", lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))
    return subprocess.Popen(
        [ENTRY_POINT, *map(str, arguments)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def start_long(bundle: Path, folder: Path, **options: Any) -> subprocess.Popen[str]:
    words = ("speak", TEXT * 100, "-m", bundle, "-o", "a.wav", "--timestamps", "a.json")
    return start(*words, "--language", "en", *SETTINGS, folder=folder, **options)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signal_keeps_what_was_said(
    random_bundle: Path, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    process = start_long(random_bundle, tmp_path)
    wait_for_partial(process, tmp_path)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (status, "")
    seconds = soundfile.info(tmp_path / "a.wav").duration
    assert_one_line(err.strip(), f"interrupted; a.wav has the first {seconds:.2f} s")
    assert names(tmp_path) == ["a.json", "a.wav"]


def test_signal_that_nohup_ignores_stays_ignored(random_bundle: Path, tmp_path: Path) -> None:
    process = start(
        *("speak", TEXT * 3, "-m", random_bundle, "-o", "a.wav", *SETTINGS),
        folder=tmp_path,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    wait_for_partial(process, tmp_path, 1000)
    process.send_signal(signal.SIGHUP)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert out.startswith("a.wav: ")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signal_keeps_the_lines_that_were_said(
    random_bundle: Path, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    lines = "\n".join(f"Line {line}." for line in range(500))
    process = start(
        *("speak", lines, "-m", random_bundle, "--lines", "-o", "out/", *SETTINGS), folder=tmp_path
    )
    while process.poll() is None and not (tmp_path / "out" / "003.wav").exists():
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == status
    written = names(tmp_path / "out")
    assert_one_line(err.strip(), f"interrupted; {len(written)} of 500 files are written")
    assert all(soundfile.info(tmp_path / "out" / name).frames for name in written)
    assert out.count("\n") <= len(written)


def test_the_next_run_removes_what_a_killed_one_left(random_bundle: Path, tmp_path: Path) -> None:
    process = start_long(random_bundle, tmp_path)
    wait_for_partial(process, tmp_path)
    process.kill()
    process.communicate()
    assert len(names(tmp_path)) == 1
    process = start(
        *("speak", "Hello", "-m", random_bundle, "-o", "a.wav", *SETTINGS), folder=tmp_path
    )
    assert process.communicate()[0].startswith("a.wav: ")
    assert names(tmp_path) == ["a.wav"]


@pytest.fixture
def importing(random_bundle: Path, tmp_path: Path) -> subprocess.Popen[str]:
    """An import of many voices into a copy of the bundle, of which some are prepared."""
    shutil.copytree(random_bundle, tmp_path / "bundle")
    (tmp_path / "many").mkdir()
    for number in range(300):
        shutil.copy(
            random_bundle / "voices" / "v2" / "en_speaker_0.npz",
            tmp_path / "many" / f"v{number}.npz",
        )
    process = start("voices", "import", "many", "-m", "bundle", folder=tmp_path)
    while process.poll() is None and not [*tmp_path.glob("bundle/.*.partial/voices/*.npz")]:
        time.sleep(0.005)
    return process


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signal_changes_no_voice(
    importing: subprocess.Popen[str],
    random_bundle: Path,
    tmp_path: Path,
    number: signal.Signals,
    status: int,
) -> None:
    importing.send_signal(number)
    out, err = importing.communicate(timeout=60)
    assert (importing.returncode, out, err.strip()) == (status, "", "bark-onnx: interrupted")
    assert contents(tmp_path / "bundle") == contents(random_bundle)


def test_the_next_import_removes_what_a_killed_one_left(
    importing: subprocess.Popen[str], random_bundle: Path, tmp_path: Path
) -> None:
    importing.kill()
    importing.communicate()
    former = contents(random_bundle)
    found = contents(tmp_path / "bundle")
    assert {name: found[name] for name in former} == former
    assert any(".partial/" in name for name in found)
    shutil.copy(tmp_path / "many" / "v0.npz", tmp_path / "me.npz")
    process = start("voices", "import", "me.npz", "-m", "bundle", folder=tmp_path)
    assert process.communicate() == ("added me\n", "")
    added = {*contents(tmp_path / "bundle")} - former.keys()
    assert added == {"voices/me.npz"}


@pytest.mark.parametrize("suffix", ["wav", "mp3"])
def test_two_commands_with_one_output_leave_one_whole_file(
    random_bundle: Path, tmp_path: Path, suffix: str
) -> None:
    def speak(name: str, seed: int) -> subprocess.Popen[str]:
        options = ("--semantic-max-new-tokens", 15, "--seed", seed, "--no-metadata")
        return start("speak", TEXT, "-m", random_bundle, "-o", name, *options, folder=tmp_path)

    alone = []
    for seed in (1, 2):
        speak(f"{seed}.{suffix}", seed).communicate()
        alone.append((tmp_path / f"{seed}.{suffix}").read_bytes())
    both = [speak(f"a.{suffix}", seed) for seed in (1, 2)]
    for process in both:
        out, err = process.communicate()
        assert (process.returncode, err) == (0, ""), out
    assert (tmp_path / f"a.{suffix}").read_bytes() in alone
    assert names(tmp_path) == [f"1.{suffix}", f"2.{suffix}", f"a.{suffix}"]


def test_file_size_limit_keeps_what_was_said_and_names_the_reason(
    random_bundle: Path, tmp_path: Path
) -> None:
    limit = (400_000, 400_000)
    process = start_long(
        random_bundle,
        tmp_path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
    )
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (1, "")
    seconds = soundfile.info(tmp_path / "a.wav").duration
    assert seconds > 4
    words = ("a.wav: cannot be written (File too large)", f"it has the first {seconds:.2f} s")
    assert_one_line(err.strip(), *words)
    assert names(tmp_path) == ["a.json", "a.wav"]


def test_compressed_file_that_is_cut_off_causes_no_lines_of_libraries(
    random_bundle: Path, tmp_path: Path
) -> None:
    process = start(
        *("speak", TEXT * 10, "-m", random_bundle, "-o", "a.mp3", "--language", "en", *SETTINGS),
        folder=tmp_path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (70_665, 70_665)),
    )
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (1, "")
    assert_one_line(err.strip(), "a.mp3: cannot be written (File too large); it has the first")


# Interrupts of imports


@pytest.mark.parametrize("module", ["numpy", "click", "bark_onnx.runtime.cli.speak"])
def test_interrupt_of_the_imports_is_one_line(module: str) -> None:
    code = (
        "import sys\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}: raise KeyboardInterrupt\n"
        "from bark_onnx.runtime.cli.main import main\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "sys.argv[1:] = ['--help']\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert_fails((done.returncode, done.stdout, done.stderr), 130, "bark-onnx: interrupted")


@pytest.mark.parametrize(
    ("stop", "status"), [(KeyboardInterrupt(), 130), (Interrupt(signal.SIGTERM), 143)]
)
def test_interrupt_of_a_library_that_is_imported_is_one_line(
    capsys: pytest.CaptureFixture[str], stop: KeyboardInterrupt, status: int
) -> None:
    error = ImportError("initialization failed")  # as that of a library in C
    error.__cause__ = stop
    with pytest.raises(SystemExit) as end, exit_on_errors("bark-onnx"):
        raise ProviderError("onnxruntime cannot be loaded") from error
    assert end.value.code == status
    assert_one_line(capsys.readouterr().err.strip(), "bark-onnx: interrupted")


def test_interrupt_that_a_library_has_replaced_by_its_own_error_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Interrupt, "raised", int(signal.SIGTERM))
    monkeypatch.setattr(interrupts, "is_interrupted", lambda: True)
    with pytest.raises(SystemExit) as end, exit_on_errors("bark-onnx"):
        raise BundleError("not readable")  # as safetensors, which asks Python for types
    assert end.value.code == 143
    assert_one_line(capsys.readouterr().err.strip(), "bark-onnx: interrupted")


def test_error_while_an_interrupt_is_handled_is_not_the_interrupt(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Interrupt, "raised", int(signal.SIGTERM))
    monkeypatch.setattr(interrupts, "is_interrupted", lambda: True)

    def fail_to_keep_the_sound() -> None:
        try:
            raise Interrupt(signal.SIGTERM)
        except Interrupt:
            raise BundleError("cannot be written") from None

    with pytest.raises(SystemExit) as end, exit_on_errors("bark-onnx"):
        fail_to_keep_the_sound()
    assert end.value.code == 1
    assert_one_line(capsys.readouterr().err.strip(), "bark-onnx: cannot be written")


def test_signals_at_the_same_time_are_one_interrupt() -> None:
    code = (
        "import os, signal\n"
        "from bark_onnx.graphs.interrupts import exit_status, raise_interrupts\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
        "raise_interrupts()\n"
        "numbers = [signal.SIGHUP, signal.SIGINT, signal.SIGTERM]\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, numbers)\n"
        "for number in numbers: os.kill(os.getpid(), number)\n"
        "try:\n"
        "    signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)\n"
        "except KeyboardInterrupt as stop:\n"
        "    print(exit_status(stop))\n"
        "for number in numbers: signal.raise_signal(number)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) in (129, 130, 143)


def test_status_of_an_interrupt_is_that_of_its_cause() -> None:
    assert exit_status(KeyboardInterrupt()) == 130
    stop = RuntimeError("interrupted; a.wav has the first 3 s")
    stop.__cause__ = Interrupt(signal.SIGTERM)
    assert exit_status(stop) == 143


# Streams


def in_shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": f"{ENTRY_POINT.parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def folder(random_bundle: Path, tmp_path: Path) -> Path:
    """Working folder with a bundle B."""
    (tmp_path / "B").symlink_to(random_bundle)
    return tmp_path


SPEAK = f"bark-onnx speak Hello -m B {' '.join(SETTINGS)}"


@pytest.mark.parametrize("closed", ["2>&-", "2>&- 0<&-", "1>&- 2>&-", "2>/dev/full"])
def test_closed_standard_error_does_not_keep_the_file_from_being_written(
    folder: Path, closed: str
) -> None:
    done = in_shell(f"{SPEAK} -o a.wav --save-voice a.npz {closed}", folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert soundfile.info(folder / "a.wav").frames > 0
    assert (folder / "a.wav").read_bytes().startswith(b"RIFF")
    assert names(folder) == ["B", "a.npz", "a.wav"]


@pytest.mark.parametrize(
    "command",
    ["--help", "voices -m B", "info -m B", f"{SPEAK.partition(' ')[2]} -o a.wav --json", "-h"],
)
def test_full_standard_output_is_one_line(folder: Path, command: str) -> None:
    done = in_shell(f"bark-onnx {command} > /dev/full", folder)
    message = "bark-onnx: standard output: cannot be written (No space left on device)"
    assert_fails((done.returncode, done.stdout, done.stderr), 1, message)


def test_error_of_something_else_is_not_that_of_standard_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as end, exit_on_errors("bark-onnx"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # such as a library's
    assert end.value.code == 1
    message = "bark-onnx: cannot go on (No space left on device)"
    assert_one_line(capsys.readouterr().err.strip(), message)


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "-"])
def test_standard_output_receives_the_sound_by_any_name(folder: Path, name: str) -> None:
    done = in_shell(f"{SPEAK} -o {name} --format wav | wc -c", folder)
    assert int(done.stdout) > 10_000
    assert done.stderr.startswith("standard output: ")
    in_shell(f"{SPEAK} -o {name} --format wav > b.wav", folder)
    assert (folder / "b.wav").stat().st_size == int(done.stdout)


def test_device_and_pipe_receive_the_sound(folder: Path) -> None:
    done = in_shell(f"mkfifo p.wav; {SPEAK} -o p.wav & cat p.wav | wc -c; wait", folder)
    assert max(int(line) for line in done.stdout.splitlines() if line.isdigit()) > 10_000
    assert (folder / "p.wav").is_fifo()
    done = in_shell(f"{SPEAK} -o /dev/null --format wav", folder)
    assert done.stdout.startswith("/dev/null: ")
    assert not Path(os.devnull).is_file()


def test_interrupted_command_does_not_wait_for_a_reader_of_a_pipe(
    random_bundle: Path, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "a.json")
    process = start_long(random_bundle, tmp_path)
    wait_for_partial(process, tmp_path)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "a.json: cannot be written (No such device or address)" in err
    assert "interrupted; a.wav has the first" in err.splitlines()[-1]
    assert soundfile.info(tmp_path / "a.wav").duration > 0


def test_command_alone_prints_its_help_with_its_line_breaks(folder: Path) -> None:
    done = in_shell("bark-onnx", folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == in_shell("bark-onnx --help", folder).stdout
    assert done.stderr.count("\n") > 15


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (SPEAK + " --voice $(printf 'a%.0s' $(seq 3000))", ("aaa…'", "expected a name")),
        ("bark-onnx speak Hi -m $(printf 'a%.0s' $(seq 5000))", ("File name too long",)),
        ("bark-onnx info $(printf 'a%.0s' $(seq 5000)).wav", ("File name too long",)),
        (
            "bark-onnx voices import $(printf 'a%.0s' $(seq 3000)).npz -m B",
            ("File name too long",),
        ),
        (SPEAK + " --threads 99999999999999999999999", ("--threads is 999", "1 to 1024")),
        (SPEAK + " -m 'no\nwhere'", (r"no\nwhere: no such folder",)),
        (SPEAK + " -o 'no\nwhere/a.wav'", (r"no\nwhere: no such folder",)),
        (SPEAK + " --speaker 'a\nb'", (r"--speaker is 'a\nb'",)),
        (SPEAK + " --precision ''", ("precision '' is unknown", "fp32, fp16")),
        (SPEAK + " --precision fp64", ("precision 'fp64' is unknown", "has fp32")),
        (SPEAK + " --temperature 1e308", ("temperature is 1e+308", "at most 1000000")),
        (SPEAK + " -o x.wav/", ("--output x.wav/ is a folder",)),
        (SPEAK + " -o ''", ("--output is empty",)),
        (SPEAK + " --timestamps ''", ("--timestamps is empty",)),
        (SPEAK + " --save-voice x.npz/", ("--save-voice x.npz/ is a folder",)),
        (SPEAK + " --greedy --sampling suno", ("--greedy and --sampling suno exclude",)),
        (SPEAK + " --raw --format mp3", ("--raw and --format mp3 exclude",)),
        (
            SPEAK + " --no-do-sample --temperature 0",
            ("--temperature is 0.0 with sampling", "give --no-do-sample", "--greedy"),
        ),
        (SPEAK + " --silence-seconds -1", ("--silence-seconds is -1.0",)),
        ("touch a.wav; chmod 444 a.wav; " + SPEAK + " -o a.wav", ("a.wav is write-protected",)),
        (SPEAK + " --lines -o q3/ --voice nope", ("nope", "not found")),
    ],
)
def test_what_cannot_be_is_one_line(folder: Path, command: str, words: tuple[str, ...]) -> None:
    done = in_shell(command, folder)
    assert_fails((done.returncode, done.stdout, done.stderr), 1, *words)
    assert names(folder) in (["B"], ["B", "a.wav"])


@pytest.mark.parametrize(
    ("environment", "name"),
    [("", rb"a\xff.wav"), ("LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 ", "ö.wav".encode())],
)
def test_name_in_another_encoding_is_escaped(folder: Path, environment: str, name: bytes) -> None:
    path = name.decode("unicode_escape").encode("latin-1") if b"\\" in name else name
    command = f"{environment}{SPEAK} -o ".encode() + b"'" + path + b"'"
    done = subprocess.run(
        [b"sh", b"-c", b"PATH=%s:$PATH; %s" % (os.fsencode(ENTRY_POINT.parent), command)],
        cwd=folder,
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.isascii()
    assert path in [os.fsencode(each.name) for each in folder.iterdir()]


def test_replaced_file_is_mentioned(folder: Path) -> None:
    assert "replaced" not in in_shell(SPEAK, folder).stdout
    assert in_shell(SPEAK, folder).stdout.endswith("; the former file was replaced\n")
    assert '"replaced": true' in in_shell(f"{SPEAK} --json", folder).stdout
