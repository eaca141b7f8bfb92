"""Sessions live with each other and with whatever else the process does with ONNX Runtime."""

import subprocess
import sys
from pathlib import Path

import pytest

from bark_onnx.runtime import Bark
from bark_onnx.runtime.inference.thread_pool import ensure_global_thread_pool
from tests.support.messages import assert_one_line

# Every program runs in a process of its own: what ONNX Runtime shares cannot be taken back.
BEGIN = """
import sys
import onnxruntime
from bark_onnx.runtime import Bark, BarkError, GenerationOptions, use_global_thread_pool

FOLDER = sys.argv[1]
OTHER = FOLDER + "/fp32/codec.onnx"

def say(bark):
    speech = bark.speak("Hello", options=GenerationOptions.greedy(), semantic_max_new_tokens=3)
    print(len(speech.semantic_tokens))

def loaded(**settings):
    try:
        return Bark.load(FOLDER, **settings)
    except BarkError as error:
        print(error)
"""

# Of the system, since ONNX Runtime's threads are not Python's.
COUNT = """
import os
def threads():
    return len(os.listdir("/proc/self/task"))
"""

only_linux = pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")


def _run(bundle: Path, *lines: str) -> list[str]:
    """The lines that a program prints."""
    program = "\n".join((BEGIN, *lines))
    done = subprocess.run(
        [sys.executable, "-c", program, str(bundle)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_a_program_that_made_one_pool_of_threads_can_load_a_bundle(demo_bundle: Path):
    pool = "onnxruntime.set_global_thread_pool_sizes(1, 1)"
    assert _run(demo_bundle, pool, "say(Bark.load(FOLDER))") == ["3"]


def test_threads_are_refused_where_a_pool_of_the_program_would_ignore_them(demo_bundle: Path):
    pool = "onnxruntime.set_global_thread_pool_sizes(1, 1)"
    for lines in ((pool,), (pool, "use_global_thread_pool()"), ("use_global_thread_pool()", pool)):
        (message,) = _run(demo_bundle, *lines, "loaded(threads=2)")
        assert_one_line(message, "threads is 2", "set_global_thread_pool_sizes", "leave threads")


def test_a_loaded_bundle_leaves_other_sessions_of_the_program_alone(demo_bundle: Path):
    lines = ("bark = Bark.load(FOLDER, threads=2)", "onnxruntime.InferenceSession(OTHER)")
    assert _run(demo_bundle, *lines, "say(bark)") == ["3"]


@only_linux
def test_a_program_can_let_all_stages_share_one_pool_of_threads(demo_bundle: Path):
    lines = (COUNT, "bark = Bark.load(FOLDER, threads=5)", "say(bark)", "print(threads())")
    said, alone = _run(demo_bundle, *lines)
    said_together, shared = _run(demo_bundle, "use_global_thread_pool()", *lines)
    assert said == said_together == "3"
    # Each of four stages has four threads beside its caller's; or all have the same four.
    assert int(alone) - int(shared) == 12


def test_a_shared_pool_keeps_the_size_that_it_began_with(demo_bundle: Path):
    lines = (
        "use_global_thread_pool()",
        "first = loaded(threads=2)",
        "second = loaded(threads=2)",
        "third = loaded()",
        "loaded(threads=3)",
        "say(first), say(second), say(third)",
    )
    message, *said = _run(demo_bundle, *lines)
    assert said == ["3"] * 3
    assert_one_line(message, "threads is 3", "one pool (2)", "leave threads out")


def test_a_shared_pool_of_the_usual_size_refuses_another(demo_bundle: Path):
    lines = ("use_global_thread_pool()", "first = loaded()", "loaded(threads=3)", "say(first)")
    message, said = _run(demo_bundle, *lines)
    assert said == "3"
    assert_one_line(message, "threads is 3", "as many as there are cores")


def test_a_pool_can_be_shared_after_sessions_were_opened(demo_bundle: Path):
    lines = ("first = loaded(threads=2)", "use_global_thread_pool()", "second = loaded(threads=3)")
    assert _run(demo_bundle, *lines, "say(first), say(second)") == ["3"] * 2


@only_linux
def test_the_command_is_a_program_that_shares_one_pool(demo_bundle: Path, tmp_path: Path):
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
    threads, _ = _run(demo_bundle, *lines)
    assert int(threads) < 2 * 8, "more than one pool"


def test_the_tests_do_not_use_global_thread_pool_behind_the_back_of_other_sessions():
    assert not ensure_global_thread_pool(None)


def test_threads_of_a_stage_that_waits_leave_the_cores_to_the_others(demo: Bark):
    with demo._stages.use("fine") as session:
        options = session.get_session_options()
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"


def test_stages_share_memory_unless_only_one_is_open(demo_bundle: Path, demo: Bark):
    def shares(bark: Bark) -> str:
        with bark._stages.use("fine") as session:
            options = session.get_session_options()
        try:
            return options.get_session_config_entry("session.use_env_allocators")
        except RuntimeError:
            return "0"

    assert shares(demo) == "1"
    assert shares(Bark.load(demo_bundle, low_memory=True)) == "0"
