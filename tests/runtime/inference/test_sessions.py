"""Sessions share threads and memory with each other and with other users of ONNX Runtime."""

import subprocess
import sys
from pathlib import Path

import pytest

from bark_onnx.runtime import Bark
from bark_onnx.runtime.inference.thread_pool import ensure_global_thread_pool
from tests.support.messages import assert_one_line
from tests.support.torture.bundles import record

# Each program runs in a new process: the global state of ONNX Runtime cannot be reset.
BEGIN = """
import sys
import onnxruntime
from bark_onnx.runtime import Bark, BarkError, GenerationOptions, use_global_thread_pool

FOLDER = sys.argv[1]
OTHER = FOLDER + "/fp32/codec.onnx"

def speak(bark):
    speech = bark.speak("Hello", options=GenerationOptions.greedy(), semantic_max_new_tokens=3)
    print(len(speech.semantic_tokens))

def load(**settings):
    try:
        return Bark.load(FOLDER, **settings)
    except BarkError as error:
        print(error)
"""

# Of the system: Python does not count the threads of ONNX Runtime.
COUNT = """
import os
def threads():
    return len(os.listdir("/proc/self/task"))
"""

only_linux = pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")


def _run(bundle: Path, *lines: str) -> list[str]:
    """Run a program and return the lines that it prints."""
    program = "\n".join((BEGIN, *lines))
    done = subprocess.run(
        [sys.executable, "-c", program, str(bundle)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_a_program_that_created_a_global_pool_can_load_a_bundle(random_bundle: Path):
    pool = "onnxruntime.set_global_thread_pool_sizes(1, 1)"
    assert _run(random_bundle, pool, "speak(Bark.load(FOLDER))") == ["3"]


def test_threads_are_refused_when_the_program_has_created_a_global_pool(random_bundle: Path):
    pool = "onnxruntime.set_global_thread_pool_sizes(1, 1)"
    for lines in ((pool,), (pool, "use_global_thread_pool()"), ("use_global_thread_pool()", pool)):
        (message,) = _run(random_bundle, *lines, "load(threads=2)")
        assert_one_line(message, "threads is 2", "set_global_thread_pool_sizes", "omit threads")


def test_a_loaded_bundle_does_not_affect_other_sessions_of_the_program(random_bundle: Path):
    lines = ("bark = Bark.load(FOLDER, threads=2)", "onnxruntime.InferenceSession(OTHER)")
    assert _run(random_bundle, *lines, "speak(bark)") == ["3"]


@only_linux
def test_all_stages_share_the_global_pool_when_a_program_requests_it(random_bundle: Path):
    lines = (COUNT, "bark = Bark.load(FOLDER, threads=5)", "speak(bark)", "print(threads())")
    tokens, separate = _run(random_bundle, *lines)
    tokens_with_pool, shared = _run(random_bundle, "use_global_thread_pool()", *lines)
    assert tokens == tokens_with_pool == "3"
    # Each of four stages has four threads in addition to its caller's; or all share four.
    assert int(separate) - int(shared) == 12


def test_the_global_pool_keeps_its_first_size(random_bundle: Path):
    lines = (
        "use_global_thread_pool()",
        "first = load(threads=2)",
        "second = load(threads=2)",
        "third = load()",
        "load(threads=3)",
        "speak(first), speak(second), speak(third)",
    )
    message, *tokens = _run(random_bundle, *lines)
    assert tokens == ["3"] * 3
    assert_one_line(message, "threads is 3", "one pool (2)", "omit threads")


def test_a_global_pool_of_the_default_size_refuses_another_size(random_bundle: Path):
    lines = ("use_global_thread_pool()", "first = load()", "load(threads=3)", "speak(first)")
    message, tokens = _run(random_bundle, *lines)
    assert tokens == "3"
    assert_one_line(message, "threads is 3", "as many as there are cores")


def test_the_global_pool_can_be_requested_after_sessions_were_opened(random_bundle: Path):
    lines = ("first = load(threads=2)", "use_global_thread_pool()", "second = load(threads=3)")
    assert _run(random_bundle, *lines, "speak(first), speak(second)") == ["3"] * 2


@only_linux
def test_the_speak_command_uses_the_global_pool(random_bundle: Path, tmp_path: Path):
    output = tmp_path / "a.wav"
    lines = (
        COUNT,
        "from bark_onnx.runtime.cli.main import main",
        "stream = Bark.stream",
        "def watched(*words, **settings):",
        "    yield from stream(*words, **settings)",
        "    print(threads())",
        "Bark.stream = watched",
        "options = '--threads 9 --greedy --semantic-max-new-tokens 3 --json -o'.split()",
        f"sys.argv = ['bark-onnx', 'speak', 'Hello', '-m', FOLDER, *options, {str(output)!r}]",
        "main()",
    )
    threads, _ = _run(random_bundle, *lines)
    assert int(threads) < 2 * 8, "more than one pool"


def test_the_test_process_itself_has_no_global_pool():
    assert not ensure_global_thread_pool(None)


def test_threads_of_a_waiting_stage_do_not_spin(random_bark: Bark):
    with random_bark._models.acquire("codec") as session:
        options = session.get_session_options()
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"


def test_stages_share_an_arena_unless_memory_is_low(random_bundle: Path, random_bark: Bark):
    def shares(bark: Bark) -> str:
        with bark._models.acquire("codec") as session:
            options = session.get_session_options()
        try:
            return options.get_session_config_entry("session.use_env_allocators")
        except RuntimeError:
            return "0"

    assert shares(random_bark) == "1"
    assert shares(Bark.load(random_bundle, low_memory=True)) == "0"


def test_graph_that_cannot_be_loaded_is_an_error_without_a_log_line(bundle: Path):
    (bundle / "fp32" / "fine.onnx.data").write_bytes(b"")
    record(bundle, "fp32/fine.onnx.data")
    found = _run(bundle, "load(verify=False)")  # which checks that standard error is empty
    assert len(found) == 1
    assert "fine.onnx: ONNX Runtime cannot load it" in found[0]
