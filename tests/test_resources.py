"""One function finds an asset in a checkout and in an installed wheel."""

import re
import shutil
from pathlib import Path

import pytest

from vizcore import resources


def test_in_a_checkout_assets_and_the_app_lie_beside_vizcore() -> None:
    root = Path(__file__).resolve().parent.parent
    assert resources.asset("models.toml") == root / "assets" / "models.toml"
    assert resources.app_folder() == root / "app"


def test_in_an_installed_wheel_they_lie_inside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site-packages" / "vizcore"
    (package / "assets" / "texts").mkdir(parents=True)
    (package / "_app" / "app").mkdir(parents=True)
    (package / "_app" / "app" / "main.py").touch()
    monkeypatch.setattr(resources, "PACKAGE", package)
    assert resources.asset("texts") == package / "assets" / "texts"
    assert resources.app_folder() == package / "_app" / "app"


def test_somebody_elses_assets_in_site_packages_are_not_taken_for_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "vizcore"
    for folder in (package / "assets", tmp_path / "assets"):
        folder.mkdir(parents=True)
        (folder / "models.toml").touch()
    monkeypatch.setattr(resources, "PACKAGE", package)
    assert resources.asset("models.toml") == package / "assets" / "models.toml"
    shutil.rmtree(package / "assets")
    assert resources.asset("models.toml") == tmp_path / "assets" / "models.toml"


def test_a_missing_asset_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "vizcore"
    monkeypatch.setattr(resources, "PACKAGE", package)
    message = (
        f"assets/models.toml is in neither {package / 'assets'} nor {tmp_path / 'assets'}: this "
        "installation of headlight-viz is incomplete. Install it again."
    )
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
        resources.asset("models.toml")
