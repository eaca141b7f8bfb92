"""`python -m bark_onnx.export.demo`: trains the demo from nothing."""

import argparse
import sys
from pathlib import Path

import torch

from bark_onnx.export.demo.pipeline import STAGES, run
from bark_onnx.graphs.errors import ExportError


def main() -> None:
    """Run the stages that are named, or all that are not finished."""
    parser = argparse.ArgumentParser(
        "python -m bark_onnx.export.demo",
        description="Train the demo's checkpoint. An interrupted stage goes on where it was.",
    )
    parser.add_argument(
        "stages", nargs="*", metavar="STAGE", help=f"{', '.join(STAGES)}; default: all"
    )
    parser.add_argument(
        "--work", type=Path, default=Path("build/demo"), help="folder of the training (%(default)s)"
    )
    parser.add_argument("--threads", type=int, help="threads of torch; default: all cores")
    arguments = parser.parse_args()
    if unknown := set(arguments.stages) - set(STAGES):
        parser.error(f"unknown stage {min(unknown)}; expected {', '.join(STAGES)}")
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    try:
        run(arguments.work, arguments.stages)
    except ExportError as error:
        sys.exit(f"bark_onnx.export.demo: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
