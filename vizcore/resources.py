"""Finds the files that travel with the library: `assets`, and the app itself.

In a checkout they are folders beside `vizcore`; in the installed wheel they lie inside it, as
`vizcore/assets` and `vizcore/_app/app`. Everything that reads one asks here, and nowhere else are
these paths known. Not for what is fetched while the program runs: that is the cache's.
"""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def asset(name: str) -> Path:
    """The path of a file or folder in `assets`, such as `asset("models.toml")`.

    Args:
        name: its path inside `assets`, with forward slashes.

    Raises:
        FileNotFoundError: if there is no such asset; the installation is then incomplete.
    """
    return _find("assets", inside="assets", name=name)


def app_folder() -> Path:
    """The folder of the Streamlit app: the one in which `main.py` lies.

    Raises:
        FileNotFoundError: if the app is missing; the installation is then incomplete.
    """
    return _find("app", inside="_app/app", name="main.py").parent


def _find(folder: str, *, inside: str, name: str) -> Path:
    # The wheel's own place first: a stray `assets` folder in site-packages is somebody else's.
    places = (PACKAGE / inside, PACKAGE.parent / folder)
    for place in places:
        found = place / name
        if found.exists():
            return found
    raise FileNotFoundError(
        f"{folder}/{name} is in neither {places[0]} nor {places[1]}: this installation of "
        "headlight-viz is incomplete. Install it again."
    )
