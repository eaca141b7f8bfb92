"""The page of text: what differs from the expectation, and how fast the GPU spoke."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from gpu.day import Finding
from gpu.runner import PartResult

_LINE = 110  # characters
_MOST_LINES = 12  # of one part
_RATE = re.compile(r"audio seconds a second, (.+), (\d+) sequences?")

# The aims on an H200: times as fast as transformers in fp16, and audio seconds a second batched.
AIM_RATIO, AIM_RATE, BATCHED = 10.0, 100.0, 8


def compared_rates(results: Sequence[PartResult]) -> PartResult:
    """Rates of speech over those of transformers, as findings of a part of their own."""
    ours, theirs = (dict(_rates(results, part)) for part in ("speech", "transformers"))
    findings = []
    for (size, sequences), rate in ours.items():
        reference = theirs.get((size, sequences))
        if reference:
            name = f"times as fast as transformers fp16, {size}, {sequences} sequences"
            is_single = sequences == 1
            expected = f"at least {AIM_RATIO:g}" if is_single else ""
            holds = rate >= AIM_RATIO * reference if is_single else None
            findings.append(Finding(name, rate / reference, expected, holds))
    for size in dict.fromkeys(size for size, _ in ours):
        best = max(
            (rate for (each, n), rate in ours.items() if each == size and n >= BATCHED), default=0.0
        )
        if best:
            name = f"most audio seconds a second, {size}"
            findings.append(Finding(name, best, f"at least {AIM_RATE:g}", best >= AIM_RATE))
    return PartResult("rates", "done", 0.0, tuple(findings), ())


def page(results: Sequence[PartResult], title: str) -> str:
    """What did not end, what differs, and the rates."""
    all_findings = [finding for result in results for finding in result.findings]
    compared = [finding for finding in all_findings if finding.holds is not None]
    differing = sum(not finding.holds for finding in compared)
    lines = [
        title,
        f"{sum(result.outcome == 'done' for result in results)} of {len(results)} parts are done, "
        f"{len(all_findings)} findings; {differing} of {len(compared)} differ from what was "
        "expected.",
    ]
    for result in results:
        found = list(_differences(result))
        if len(found) > _MOST_LINES:
            found = [*found[:_MOST_LINES], f"  and {len(found) - _MOST_LINES} more, in the JSON"]
        if found:
            lines += ["", f"{result.part}: {result.outcome}, {result.seconds:.0f} s", *found]
    return "\n".join(line[:_LINE] for line in lines) + "\n"


def _differences(result: PartResult) -> Iterator[str]:
    if result.outcome in ("failed", "out of time"):
        yield f"  last output: {result.output[-1].strip() if result.output else '(nothing)'}"
    if result.outcome == "not begun":
        yield "  no time was left"
    for finding in result.findings:
        if finding.holds is False or result.part == "rates":
            yield f"  {finding.name}: {_short(finding.value)}{_expected(finding)}"


def _expected(finding: Finding) -> str:
    return f" (expected: {finding.expected})" if finding.expected else ""


def _short(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _rates(results: Sequence[PartResult], prefix: str) -> Iterator[tuple[tuple[str, int], float]]:
    for result in results:
        for finding in result.findings if result.part.startswith(prefix) else ():
            match = _RATE.fullmatch(finding.name)
            if match is not None:
                yield (match[1], int(match[2])), float(finding.value)
