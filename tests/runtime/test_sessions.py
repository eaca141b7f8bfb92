"""Sessions live with whatever else the process does with ONNX Runtime."""

import subprocess
import sys
from pathlib import Path

from bark_onnx.runtime import Bark

PROGRAM = """
import sys
import onnxruntime
from bark_onnx.runtime import Bark, GenerationOptions
onnxruntime.set_global_thread_pool_sizes(1, 1)
bark = Bark.load(sys.argv[1], threads=2)
speech = bark.speak("Hello", options=GenerationOptions.greedy(), semantic_max_new_tokens=3)
print(len(speech.semantic_tokens))
"""

BESIDE = """
import sys
import onnxruntime
from bark_onnx.runtime import Bark
Bark.load(sys.argv[1], threads=2)
onnxruntime.InferenceSession(sys.argv[1] + "/fp32/codec.onnx")
print("ok")
"""


def _run(program: str, bundle: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, str(bundle)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_program_that_shares_one_pool_of_threads_can_load_a_bundle(demo_bundle: Path):
    assert _run(PROGRAM, demo_bundle) == "3"


def test_a_loaded_bundle_leaves_other_sessions_of_the_program_alone(demo_bundle: Path):
    assert _run(BESIDE, demo_bundle) == "ok"


def test_threads_of_a_stage_that_waits_leave_the_cores_to_the_others(demo: Bark):
    with demo._stages.use("fine") as session:
        options = session.get_session_options()
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"
