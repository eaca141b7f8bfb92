"""The comparisons of a bundle's graphs with PyTorch, as text."""

from bark_onnx.graphs.bundle.manifest import Manifest


def parity_summary(manifest: Manifest) -> str:
    """The number of comparisons, and the one that comes closest to its tolerance."""
    cases = [(graph, case) for graph, cases in manifest.parity.items() for case in cases]
    graph, closest = max(cases, key=lambda each: each[1].largest_difference / each[1].tolerance)
    return (
        f"{len(cases)} comparisons with PyTorch passed; the closest, {graph}: "
        f"{closest.largest_difference:.1e} of {closest.tolerance:.1e}"
    )


def parity_table(manifest: Manifest) -> str:
    """Format the comparisons of all graphs with their torch modules, one line each."""
    lines = [("graph", "inputs", "largest difference", "allowed")]
    for graph, cases in manifest.parity.items():
        lines += [
            (graph, case.case, f"{case.largest_difference:.1e}", f"{case.tolerance:.1e}")
            for case in cases
        ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    template = "  ".join(
        f"{{:{align}{width}}}" for align, width in zip("<<>>", widths, strict=True)
    )
    return "\n".join(template.format(*line) for line in lines)
