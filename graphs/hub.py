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
