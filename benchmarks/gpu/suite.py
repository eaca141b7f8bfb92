"""The tests that need a GPU, parity with transformers among them."""

import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree as ET

from gpu.day import Day, Notes

_ROOT = Path(__file__).parents[2]


def run(day: Day, notes: Notes) -> None:
    """See the module."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "--provider", "cuda", *day.tests]
        subprocess.run([*command, f"--junitxml={report}"], cwd=_ROOT, check=False)
        if not report.exists():
            raise SystemExit("pytest has written no report; its output is above")
        cases = list(ET.parse(report).iter("testcase"))
    for case in cases:
        name = f"{case.get('classname', '').rpartition('.')[2]}: {case.get('name')}"
        bad = [each for kind in ("failure", "error") for each in case.iter(kind)]
        if bad:
            message = (bad[0].get("message") or "").splitlines() or [""]
            notes.add(name, message[0], expected="passes", holds=False)
    skipped = sum(case.find("skipped") is not None for case in cases)
    notes.add("tests", len(cases), expected="some", holds=bool(cases))
    notes.check("tests skipped", skipped, 0)
