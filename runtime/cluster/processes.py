"""A bundle that every process of a cluster opens, and the errors that they report."""

from pathlib import Path

from bark_onnx.graphs.bundle.bundle import Bundle

_ERROR = "bark_onnx.graphs.errors."  # how a traceback names an error of this library


def bundle_everywhere(bundle: Bundle) -> str:
    """How processes with other working folders open a bundle: its absolute path, or its hub id."""
    is_folder = Path(bundle.source).exists()
    return str(bundle.folder.resolve()) if is_folder else bundle.source


def reported_error(report: str, default: str) -> str:
    """The error in what Ray reports of a process: that of this library, or the last line.

    Args:
        report: A message or a traceback.
        default: Returned for an empty report.
    """
    lines = [line.strip() for line in report.splitlines() if line.strip()]
    own = [line for line in lines if line.startswith(_ERROR)]
    if own:
        return own[-1].partition(": ")[2]
    return lines[-1] if lines else default
