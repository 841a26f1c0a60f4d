"""Tuned lenses: fitted on a file, better than the logit lens on text they never saw, and kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import vizcore
from tests.support.sentences import lines_file, pairs, pairs_file
from tests.support.tiny import tiny_network
from vizcore.errors import DataError, ModelFilesError
from vizcore.lenses import logit_lens
from vizcore.model import Model
from vizcore.residual_stream import residual_stream
from vizcore.tuned_lens import TunedLens, read_tuned_lens
from vizcore.tuned_lens_fit import _Kept, _least_squares, fit_tuned_lens

QUICK: dict[str, Any] = {
    "steps": 4,
    "batch_tokens": 48,
    "n_tokens": 400,
    "held_out_tokens": 40,
}
UNSEEN = ("Tom sees a cat.", "Mary likes birds.", "They know me.", "We like the big dogs.")


@pytest.fixture(scope="module")
def language_model() -> Model:
    return vizcore.load("tatoeba-lm")


@pytest.fixture(scope="module")
def fitted(language_model: Model, tmp_path_factory: pytest.TempPathFactory) -> TunedLens:
    file = lines_file(tmp_path_factory.mktemp("text"))
    return fit_tuned_lens(language_model, file, **QUICK)


def divergences(model: Model, texts: tuple[str, ...], lens: TunedLens | None) -> np.ndarray:
    """The mean divergence of each state, over all positions of the texts."""
    found = [logit_lens(model.trace(text), lens=lens).divergence for text in texts]
    return np.concatenate(found, axis=1).mean(axis=1)


def test_it_is_better_than_the_logit_lens_at_every_layer(
    language_model: Model, fitted: TunedLens
) -> None:
    report = fitted.report()
    assert report["layer"].tolist() == [-1, 0, 1, 2]
    assert (report["tuned_lens"] < report["logit_lens"]).all()


def test_so_it_is_on_sentences_that_are_in_no_file(
    language_model: Model, fitted: TunedLens
) -> None:
    plain = divergences(language_model, UNSEEN, None)
    tuned = divergences(language_model, UNSEEN, fitted)
    assert (tuned[:-1] < plain[:-1]).all()
    assert tuned[-1] == pytest.approx(0, abs=1e-6)
    assert tuned[0] < plain[0] / 3


def test_it_translates_and_the_lens_does_the_rest(language_model: Model, fitted: TunedLens) -> None:
    trace = language_model.trace("Tom sees a cat.")
    lens = logit_lens(trace, lens=fitted)
    assert lens.lens == "tuned lens"
    stream = residual_stream(language_model)
    states = stream.states(trace)
    for row in range(4):
        weight, bias = fitted.weight[row], fitted.bias[row]
        moved = torch.stack([x + weight @ x + bias for x in states[row]])
        with torch.no_grad():
            expected = stream.logits(moved[None])[0].argmax(dim=-1).tolist()
        assert lens.top_ids[row, :, 0].tolist() == expected


def test_nothing_is_written_on_the_network(language_model: Model, fitted: TunedLens) -> None:
    assert all(weights.grad is None for weights in language_model.network.parameters())


def test_the_same_file_and_seed_give_the_same_lens(tmp_path: Path) -> None:
    model = vizcore.load("induction")
    file = tmp_path / "rows.txt"
    words = "bird nest moon tree rain star fish".split()
    rows = [" ".join(words[n % 7 :] + words[: n % 5]) for n in range(40)]
    file.write_text("\n".join(rows + [f"{one} bird" for one in rows]), "utf-8")
    done: list[tuple[int, int]] = []
    first = fit_tuned_lens(
        model, file, **QUICK, progress=lambda step, steps: done.append((step, steps))
    )
    again = fit_tuned_lens(model, file, **QUICK)
    assert torch.equal(first.weight, again.weight)
    assert torch.equal(first.bias, again.bias)
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert first.facts == again.facts
    assert first.facts["model"] == "induction"
    assert first.facts["file"] == "rows.txt"


def test_without_steps_it_is_least_squares(language_model: Model, tmp_path: Path) -> None:
    """Solved here position by position: the best map by numpy's own least squares."""
    stream = residual_stream(language_model)
    traces = [language_model.trace(source) for source, _ in pairs()]
    states = torch.cat([torch.stack(stream.states(one)) for one in traces], dim=1)
    weight, bias = next(iter(_least_squares(stream, iter([states]), 1)))
    given, last = states[2].double().numpy(), states[-1].double().numpy()
    share = 1 / np.sqrt((last**2).mean(axis=1, keepdims=True))
    ones = np.ones((len(given), 1))
    size = (share**2 * given**2).sum(axis=0).mean()
    ridge = np.sqrt(0.001 * size) * np.eye(given.shape[1], given.shape[1] + 1)
    left = np.concatenate([share * np.hstack([given, ones]), ridge])
    right = np.concatenate([share * (last - given), np.zeros((len(ridge), last.shape[1]))])
    solved = np.linalg.lstsq(left, right, rcond=None)[0]
    expected = given + given @ solved[:-1] + solved[-1]
    found = given + given @ weight[2].double().numpy().T + bias[2].double().numpy()
    np.testing.assert_allclose(found, expected, atol=0.02 * np.abs(expected).max())


def test_an_encoder_decoder_is_fitted_on_pairs(tmp_path: Path) -> None:
    model = vizcore.load("tatoeba-translator")
    lens = fit_tuned_lens(model, pairs_file(tmp_path), **QUICK)
    report = lens.report()
    assert (report["tuned_lens"] < report["logit_lens"]).all()


def test_a_masked_model_has_one_too(tmp_path: Path) -> None:
    model = vizcore.load("tatoeba-mlm")
    report = fit_tuned_lens(model, lines_file(tmp_path), **QUICK).report()
    assert (report["tuned_lens"] < report["logit_lens"]).all()


def test_it_is_kept_with_its_facts(
    language_model: Model, fitted: TunedLens, tmp_path: Path
) -> None:
    path = fitted.save(tmp_path / "lens.safetensors")
    again = read_tuned_lens(path)
    assert torch.equal(again.weight, fitted.weight)
    assert torch.equal(again.bias, fitted.bias)
    assert dict(again.facts) == dict(fitted.facts)
    assert again.facts["steps"] == 4
    assert len(again.facts["sha256"]) == 64
    assert repr(again) == "TunedLens(tatoeba-lm, 4 layers)"
    assert [one.name for one in tmp_path.iterdir()] == ["lens.safetensors"]
    trace = language_model.trace("Tom sees a cat.")
    assert logit_lens(trace, lens=again).top_tokens == logit_lens(trace, lens=fitted).top_tokens


def test_what_is_no_lens_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(1)}, other)
    with pytest.raises(ModelFilesError) as error:
        read_tuned_lens(other)
    assert str(error.value) == (
        f"{other} holds no tuned lens. Give a file that TunedLens.save has written."
    )
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"nothing")
    for path in (broken, tmp_path / "missing.safetensors"):
        with pytest.raises(ModelFilesError) as error:
            read_tuned_lens(path)
        assert str(error.value).startswith(f"{path} cannot be read: ")
        assert str(error.value).endswith(". Give a file that TunedLens.save has written.")


def test_where_it_cannot_be_written_nothing_is_left(fitted: TunedLens, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="could not be written"):
        fitted.save(tmp_path / "nowhere" / "lens.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_too_short_is_refused(language_model: Model, tmp_path: Path) -> None:
    file = tmp_path / "short.txt"
    file.write_text("One line.\nAnother one.\n", "utf-8")
    with pytest.raises(DataError) as error:
        fit_tuned_lens(language_model, file)
    assert str(error.value) == (
        f"{file} has too few texts that tatoeba-lm can read: a tenth of them is held out. Give at "
        "least 20 lines, one text each."
    )


def test_a_map_that_changes_nothing_is_the_logit_lens() -> None:
    trace = Model.of(tiny_network("llama"), None).trace([5, 9, 17])
    lens = TunedLens(torch.zeros(3, 32, 32), torch.zeros(3, 32))
    plain, same = logit_lens(trace), logit_lens(trace, lens=lens)
    np.testing.assert_array_equal(plain.divergence, same.divergence)


def test_only_maps_that_are_better_are_kept() -> None:
    model = Model.of(tiny_network("llama"), None)
    stream = residual_stream(model)
    text = torch.stack(stream.states(model.trace([5, 9, 17, 23])))
    kept = _Kept(stream, text)
    before = kept.losses.clone()
    to_the_last = torch.linalg.lstsq(text[0], text[-1] - text[0]).solution.T  # exact: 4 positions
    weight = torch.stack([to_the_last, torch.full((32, 32), torch.nan), torch.ones(32, 32)])
    kept.take_better((weight, torch.zeros(3, 32)))
    assert kept.losses[0] < 1e-3 < before[0]
    assert torch.equal(kept.losses[1:], before[1:])
    assert torch.equal(kept.maps[0][0], to_the_last)
    assert not kept.maps[0][1:].any()
