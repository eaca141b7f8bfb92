"""Files of a Hugging Face hub repository, downloaded once and then read from the local cache."""

import re
from pathlib import Path

from bark_onnx.graphs.errors import BarkError

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def is_repository_id(source: str) -> bool:
    """Whether `source` has the form owner/name and is no local folder."""
    return _REPOSITORY.fullmatch(source) is not None and not Path(source).exists()


def download(
    repository: str,
    patterns: list[str],
    error_class: type[BarkError],
    *,
    option: str | None = None,
) -> Path:
    """Folder with the files of a hub repository whose paths match `patterns`.

    Args:
        repository: owner/name.
        patterns: shell patterns of the wanted files.
        error_class: what to raise.
        option: of the command that takes a local folder instead; None: the argument itself.

    Raises:
        BarkError: of `error_class`; the repository cannot be reached and is not in the cache.
    """
    from huggingface_hub import snapshot_download

    remedy = (
        f"connect, or download it elsewhere (hf download {repository} --local-dir FOLDER) "
        f"and give that folder{f' with {option}' if option else ''}"
    )
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

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
        reason = str(error).strip().splitlines()[0]
        raise error_class(f"{repository}: cannot be downloaded ({reason}); {remedy}") from error


def lies_within(path: Path, folder: Path) -> bool:
    """Whether a path, its links followed, lies in a folder; or where the hub's cache keeps files.

    A repository in the cache is a folder of links to files beside it.
    """
    try:
        resolved, root = path.resolve(), folder.resolve()
    except (OSError, RuntimeError, ValueError):  # links in a circle, or no path at all
        return False
    cache = cached_repository(folder)
    return resolved.is_relative_to(root) or (
        cache is not None and resolved.is_relative_to(cache / "blobs")
    )


def cached_repository(folder: Path) -> Path | None:
    """The folder of a repository in the hub's cache, where `folder` lies in one."""
    for parent in folder.resolve().parents:
        if parent.name == "snapshots" and (parent.parent / "blobs").is_dir():
            return parent.parent
    return None
