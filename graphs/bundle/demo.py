"""The demo: the bundle inside the package."""

from pathlib import Path

from bark_onnx.graphs.bundle.manifest import MANIFEST_NAME

DEMO = "demo"
_FOLDER = Path(__file__).parents[1] / "demo"


def bundle_folder(source: str) -> Path:
    """Folder of a bundle; "demo" is that of the package, unless it is a bundle itself."""
    folder = Path(source)
    if source != DEMO:
        return folder
    try:
        is_bundle = (folder / MANIFEST_NAME).exists()
    except OSError:  # reading it gives the reason
        is_bundle = True
    return folder if is_bundle else _FOLDER
