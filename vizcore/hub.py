"""A Hub id -> a local folder, through `huggingface_hub`.

Only what is needed is fetched: configuration, tokenizer and safetensors, never a pickle and never
code. HF_HOME, HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE are honoured, since the library reads them
itself; what is in its cache already is used without a network.
"""

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from vizcore.errors import FetchError, ModelNotFoundError

WANTED = ("*.json", "*.safetensors", "*.txt", "*.model", "*.tiktoken", "*.jinja")
"""What is fetched of a repository. Weights in any other format stay where they are."""


def hub_folder(repo_id: str, *, revision: str | None = None) -> Path:
    """The folder of the Hub's cache that holds this repository, fetched if need be.

    Raises:
        ModelNotFoundError: no such repository or revision, or no access to it.
        FetchError: the Hub did not answer and the cache has nothing.
    """
    at = f" at revision {revision!r}" if revision else ""
    try:
        return Path(snapshot_download(repo_id, revision=revision, allow_patterns=list(WANTED)))
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
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError) as error:
        raise FetchError(
            f"{repo_id!r}{at} is not in the Hub's cache on this machine, and the Hub cannot be "
            "reached. Connect to the internet once (and unset HF_HUB_OFFLINE), or give the path of "
            "a local folder, or a name that `vizcore models` lists."
        ) from error
