"""Files of Hugging Face hub repositories, downloaded once and then read from the local cache."""

import re
from pathlib import Path

from bark_onnx.graphs.errors import BarkError, first_line

_REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")  # unlike ./folder


def is_repository_id(source: str) -> bool:
    """Whether `source` has the form owner/name and is not a local path."""
    return _REPOSITORY.fullmatch(source) is not None and not Path(source).exists()


def download(
    repository: str,
    patterns: list[str],
    error_class: type[BarkError],
    *,
    option: str | None = None,
) -> Path:
    """Download the files of a hub repository and return their folder.

    Args:
        repository: Hub id, owner/name.
        patterns: Shell patterns of the files to download.
        error_class: Class of the error to raise.
        option: Command-line option that accepts a local folder instead; None for the argument.

    Raises:
        BarkError: The repository cannot be reached and is not in the cache; of `error_class`.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    remedy = (
        f"connect, or download it elsewhere (hf download {repository} --local-dir FOLDER) "
        f"and give that folder{f' with {option}' if option else ''}"
    )
    try:
        return Path(snapshot_download(repository, allow_patterns=patterns))
    except LocalEntryNotFoundError as error:
        raise error_class(
            f"{repository}: not in the local cache, and the hub cannot be reached; {remedy}"
        ) from error
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "no answer"
        raise error_class(f"{repository}: the hub answers {status}; {remedy}") from error
    except (HFValidationError, OSError) as error:
        reason = first_line(error)
        raise error_class(f"{repository}: cannot be downloaded ({reason}); {remedy}") from error


def lies_within(path: Path, folder: Path) -> bool:
    """Whether a path, with its links resolved, lies in a folder or among the hub cache's files.

    A repository in the cache is a folder of links to files beside it.
    """
    try:
        resolved, root = path.resolve(), folder.resolve()
    except (OSError, RuntimeError, ValueError):  # circular links, or not a path
        return False
    cache = cached_repository(folder)
    return resolved.is_relative_to(root) or (
        cache is not None and resolved.is_relative_to(cache / "blobs")
    )


def cached_repository(folder: Path) -> Path | None:
    """Folder of the cached hub repository that contains `folder`; None outside of the cache."""
    for parent in folder.resolve().parents:
        if parent.name == "snapshots" and (parent.parent / "blobs").is_dir():
            return parent.parent
    return None
