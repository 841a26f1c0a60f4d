"""A Hub id -> a local folder, through `huggingface_hub`.

Only what is needed is fetched: configuration, tokenizer and safetensors, never a pickle and never
code. HF_HOME, HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE are honoured, since the library reads them
itself; what is in its cache already is used without a network.
"""

from pathlib import Path
from typing import Any

from huggingface_hub import list_repo_files, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils.tqdm import tqdm

from vizcore.cache import Progress, quiet
from vizcore.errors import FetchError, ModelNotFoundError
from vizcore.formats import INDEX, WEIGHTS, check_names

WANTED = ("*.json", "*.safetensors", "*.txt", "*.model", "*.tiktoken", "*.spm", "*.jinja")
"""What is fetched of a repository. Weights in any other format stay where they are."""
NOT_WANTED = ("*/*", "consolidated*")
"""Folders hold exports for other programs; `consolidated` holds the same weights once more."""
UNREACHABLE: tuple[type[Exception], ...] = (
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    # Its base is the root of all errors of the HTTP client that huggingface_hub uses.
    *[base for base in HfHubHTTPError.__mro__[1:] if base.__module__.startswith("http")],
)


def hub_folder(
    repo_id: str, *, revision: str | None = None, progress: Progress | None = None
) -> Path:
    """The folder of the Hub's cache that holds this repository, fetched if need be.

    Raises:
        ModelNotFoundError: no such repository or revision, or no access to it.
        UnsafeWeightsError: the repository's weights are pickled; nothing of them was fetched.
        FetchError: the Hub did not answer and the cache has nothing, or there is no room for it.
    """
    at = f" at revision {revision!r}" if revision else ""
    try:
        folder = Path(
            snapshot_download(
                repo_id,
                revision=revision,
                allow_patterns=list(WANTED),
                ignore_patterns=list(NOT_WANTED),
                tqdm_class=_reporting_bar(repo_id, progress or quiet),
            )
        )
        if not any((folder / name).is_file() for name in (WEIGHTS, INDEX)):
            check_names(list_repo_files(repo_id, revision=revision), place=repo_id, config={})
    except GatedRepoError as error:
        raise ModelNotFoundError(
            f"{repo_id!r} is a gated repository. Accept its terms on its page, then set HF_TOKEN "
            "to a token of yours that may read it."
        ) from error
    except RevisionNotFoundError as error:
        raise ModelNotFoundError(
            f"{repo_id!r} has no revision {revision!r}. Give a branch, a tag or a full commit hash."
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise ModelNotFoundError(
            f"There is no model {repo_id!r}{at}: it is no name of the catalogue (`vizcore models` "
            "lists them), no folder here, and no repository on the Hub that may be read without a "
            "token (set HF_TOKEN if it is private)."
        ) from error
    except UNREACHABLE as error:
        raise FetchError(
            f"{repo_id!r}{at} is not in the Hub's cache on this machine, and the Hub cannot be "
            "reached. Connect to the internet once (and unset HF_HUB_OFFLINE), or give the path of "
            "a local folder, or a name that `vizcore models` lists."
        ) from error
    except OSError as error:
        raise FetchError(
            f"{repo_id!r}{at} could not be written to the Hub's cache: {error}. Free some space, "
            "or set HF_HOME to a folder that can hold it."
        ) from error
    return folder


def _reporting_bar(repo_id: str, progress: Progress) -> type[Any]:
    """A progress bar that draws nothing and reports how many of the bytes have come."""

    class ReportingBar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            start: Any = super().__init__
            start(*args, **(kwargs | {"disable": True}))
            # There is a bar for files, one for what the network brought (without an end that is
            # known) and one for what is on disk.
            self._is_told = str(kwargs.get("desc")).startswith("Reconstructing")

        def update(self, n: float | int | None = 1) -> None:
            self.n += n or 0
            if self._is_told and self.total:
                progress(
                    f"Fetching {repo_id} from the Hub: {self.n / 1e6:.0f} of "
                    f"{self.total / 1e6:.0f} MB",
                    min(1.0, self.n / self.total),
                )

    return ReportingBar
