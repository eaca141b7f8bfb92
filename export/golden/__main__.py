"""`python -m bark_onnx.export.golden`: writes the conformance kit of a bundle."""

import argparse
import sys
from pathlib import Path

from bark_onnx.export.golden.kit import kit_folder, write_kit
from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.errors import BarkError


def main() -> None:
    """Write a kit; an error is one line on stderr and exit status 1."""
    parser = argparse.ArgumentParser(
        "python -m bark_onnx.export.golden",
        description="Write the conformance kit of a bundle, for all of its precisions.",
    )
    parser.add_argument("bundle", help='folder, hub id, or "demo"')
    parser.add_argument("folder", type=Path, help="folder of the kit")
    parser.add_argument("--force", action="store_true", help="replace an existing kit")
    arguments = parser.parse_args()
    try:
        bundle = Bundle(arguments.bundle)
        with kit_folder(arguments.folder, bundle.folder, force=arguments.force) as folder:
            assert folder is not None
            write_kit(bundle, folder, lambda step: print(step, file=sys.stderr))
    except BarkError as error:
        sys.exit(f"bark_onnx.export.golden: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
