"""After a fork, the copy of an engine refuses whatever would wait forever; the parent goes on."""

import subprocess
import sys
from pathlib import Path

_SCRIPT = """
import gc, os, sys
from bark_onnx.runtime import Bark, EngineError

bark = Bark.load(sys.argv[1], threads=2, low_memory=sys.argv[2] == "low")
settings = {"seed": 0, "semantic_max_new_tokens": 3}
if sys.argv[3] == "used":
    bark.speak("Hello", **settings)
pending = bark.submit("Hello", seed=1, semantic_max_new_tokens=100)
child = os.fork()
if child == 0:
    calls = [
        lambda: bark.speak("Hello"),
        lambda: bark.speak_batch(["Hello", "Bye"]),
        lambda: next(bark.stream("Hello. Bye.")),
        bark.engine_status,
        pending.result,
        pending.exception,
    ]
    for call in calls:
        try:
            call()
        except EngineError as error:
            print(error)
    pending.cancel()
    bark.close()
    del bark, pending, calls, call
    gc.collect()
    sys.exit(0)
print("child", os.waitpid(child, 0)[1], flush=True)
pending.result()
print(len(bark.speak("Hello", **settings).semantic_tokens))
"""


def test_forked_engine_raises_instead_of_waiting(random_bundle: Path) -> None:
    for memory, use in (("high", "used"), ("low", "unused")):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _SCRIPT, str(random_bundle), memory, use],
            capture_output=True,
            text=True,
            timeout=600,  # a hang
        )
        assert done.stderr == ""
        *messages, child, tokens = done.stdout.splitlines()
        assert (child, tokens) == ("child 0", "3")
        assert len(messages) == 6
        assert len(set(messages)) == 1
        words = ("loaded before this process was forked", "load it in the new process", "spawn")
        assert all(word in messages[0] for word in words)
