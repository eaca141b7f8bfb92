"""Which kernels attention takes: ONNX Runtime prints them where its environment asks for it."""

import re
from collections import Counter

from models import bundle_folder

from bark_onnx.runtime import Bark
from gpu.bundles import SMALL
from gpu.day import Day, Notes
from gpu.opening import printed_by_libraries

_CHOICE = re.compile(r"Operator=(\w+) .*SdpaKernel=(\w+)")


def run(_: Day, notes: Notes) -> None:
    """See the module."""
    folder = bundle_folder(SMALL, ("fp32", "fp16"))
    with printed_by_libraries() as at_load:
        bark = Bark.load(folder, provider="cuda", precision="fp16", max_batch_size=4)
    with printed_by_libraries() as later, bark:
        bark.speak("Hello", seed=0, semantic_max_new_tokens=50)
    steps, runs = _kernels(at_load), _kernels(later)
    # Captured at load and replayed; XQA is what decodes heads of 64.
    notes.check("steps", sorted(steps), ["GroupQueryAttention: XQA"])
    expected = ["GroupQueryAttention: FLASH_ATTENTION", "MultiHeadAttention: FLASH_ATTENTION"]
    notes.check("prompts and fine passes", sorted(runs), expected)
    notes.add("counts", {**steps, **runs})


def _kernels(lines: list[str]) -> Counter[str]:
    found = (_CHOICE.search(line) for line in lines)
    return Counter(f"{match[1]}: {match[2]}" for match in found if match)
