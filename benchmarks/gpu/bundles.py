"""Makes the bundles of all parts, which need no GPU: a second run finds them."""

import time
from functools import partial

from models import bundle_folder

from gpu.day import Day, Notes

SMALL = "heads-of-64"


def run(day: Day, notes: Notes) -> None:
    """See the module."""
    for size in dict.fromkeys((SMALL, *day.sizes)):
        started = time.perf_counter()
        notes.attempt(f"export of {size}", partial(bundle_folder, size, ("fp32", "fp16")))
        notes.add(f"seconds to export {size}", time.perf_counter() - started)
    notes.attempt("standard attention", lambda: bundle_folder(SMALL, attention="standard"))
