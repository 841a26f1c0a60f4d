"""A text at every snapshot: each frame against the snapshot's own trace; which head to watch."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import vizcore
from tests.support.tiny import save, tiny_network
from tests.support.trained import METRICS, STEPS, trained_folder
from tests.views.synthetic import a_map
from vizcore.errors import SelectionError

TEXT = "the cat sat on"


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> vizcore.TrainingRecord:
    """Of a tiny decoder."""
    return vizcore.training_record(trained_folder(tmp_path_factory.mktemp("lm") / "tiny-lm"))


@pytest.fixture(scope="module")
def frames(record: vizcore.TrainingRecord) -> list[vizcore.Frame]:
    """A text at each of its snapshots."""
    return vizcore.playback(record, TEXT, k=3)


def test_there_is_a_frame_for_each_snapshot_in_order(frames: list[vizcore.Frame]) -> None:
    assert tuple(frame.step for frame in frames) == STEPS
    assert len({frame.tokens for frame in frames}) == 1


def test_a_frame_is_what_the_snapshots_model_says(
    record: vizcore.TrainingRecord, frames: list[vizcore.Frame]
) -> None:
    for frame in frames:
        trace = record.snapshot(frame.step).trace(TEXT)
        assert list(frame.tokens) == trace.tokens
        logits = trace.logits.log_softmax(-1)
        following = logits[:-1].gather(1, torch.tensor(trace.token_ids[1:])[:, None])
        assert frame.log_likelihood == pytest.approx(float(following.sum()), abs=1e-4)
        for place, table in enumerate(frame.expected):
            assert table["token_id"].tolist() == logits[place].topk(3).indices.tolist()
        assert [(one.layer, one.head) for one in frame.maps] == [
            (layer, head) for layer in range(3) for head in range(4)
        ]
        for one in frame.maps:
            expected = trace.attention(one.layer, one.head).numpy()
            np.testing.assert_array_equal(one.values, expected)


def test_an_encoder_predicts_what_stands_there_and_has_no_likelihood(tmp_path: Path) -> None:
    folder = trained_folder(tmp_path, tiny_network("bert"), steps=(1, 2))
    frame = vizcore.playback(vizcore.training_record(folder), "the [MASK] sat", k=2)[0]
    assert (frame.surprisal, frame.log_likelihood) == (None, None)
    assert len(frame.expected) == len(frame.tokens)


def test_a_model_without_a_head_predicts_nothing(tmp_path: Path) -> None:
    from transformers import BertModel

    bare = BertModel(tiny_network("bert").config)
    folder = trained_folder(tmp_path, bare, steps=(1,))
    (frame,) = vizcore.playback(vizcore.training_record(folder), "the cat")
    assert (frame.expected, frame.surprisal) == ((), None)


@pytest.mark.parametrize(("kind", "shown"), [(None, "cross"), ("encoder", "encoder")])
def test_all_snapshots_of_a_translator_read_what_the_last_one_writes(
    tmp_path: Path, kind: str | None, shown: str
) -> None:
    folder = trained_folder(tmp_path, tiny_network("t5", seed=4), steps=(3, 8))
    record = vizcore.training_record(folder)
    frames = vizcore.playback(record, "the cat sat", kind=kind)
    last = record.snapshot(8)
    written = last.labels(last.write("the cat sat"))
    assert [list(frame.tokens) for frame in frames] == [written, written]
    assert {one.kind for frame in frames for one in frame.maps} == {shown}
    given = vizcore.playback(record, "the cat sat", target="a door")[0]
    assert "".join(given.tokens[1:]).replace("·", "") == "adoor"


def test_it_tells_how_far_it_is(record: vizcore.TrainingRecord) -> None:
    told: list[tuple[str, float | None]] = []
    vizcore.playback(record, TEXT, progress=lambda words, share: told.append((words, share)))
    assert told[1] == ("Step 10 of tiny-lm", 0.25)
    assert [share for _, share in told] == [0, 0.25, 0.5, 0.75]


def test_without_snapshots_there_is_nothing_to_play(tmp_path: Path) -> None:
    save(tiny_network("gpt2"), tmp_path / "bare")
    (tmp_path / "bare" / "metrics.csv").write_text(METRICS)
    with pytest.raises(SelectionError) as caught:
        vizcore.playback(vizcore.training_record(tmp_path / "bare"), TEXT)
    assert str(caught.value) == (
        "bare has no snapshots, so its training cannot be played back. Train it with snapshots."
    )


def frame_of(step: int, *heads: np.ndarray, tokens: str = "abcab") -> vizcore.Frame:
    """A frame of one layer with these heads."""
    maps = [a_map(values, tokens, tokens, layer=0, head=at) for at, values in enumerate(heads)]
    return vizcore.Frame(step, tuple(tokens), tuple(maps), (), None)


def test_in_a_repeated_text_the_induction_head_is_watched() -> None:
    flat, stripe, changed = np.full((5, 5), 0.05), np.full((5, 5), 0.01), np.zeros((5, 5))
    stripe[3, 1] = stripe[4, 2] = 0.4  # the second a looks at b, the second b at c
    changed[:, 0] = 1
    frames = [frame_of(0, flat, flat, flat), frame_of(9, flat, stripe, changed)]
    assert vizcore.head_to_watch(frames) == (0, 1)


def test_in_other_texts_the_head_that_changed_most_is_watched() -> None:
    flat, changed = np.full((5, 5), 0.2), np.eye(5)
    frames = [
        frame_of(0, flat, flat, tokens="abcde"),
        frame_of(9, flat, changed, tokens="abcde"),
    ]
    assert vizcore.head_to_watch(frames) == (0, 1)


def test_what_is_no_number_is_not_watched() -> None:
    flat, broken = np.full((5, 5), 0.2), np.full((5, 5), np.nan)
    frames = [frame_of(0, flat, flat), frame_of(9, broken, np.eye(5))]
    assert vizcore.head_to_watch(frames) == (0, 1)


def test_there_is_no_head_to_watch_without_a_frame() -> None:
    with pytest.raises(SelectionError, match="There is no frame: play a training back first."):
        vizcore.head_to_watch([])


def test_the_bundled_induction_head_is_found_where_its_stripe_is() -> None:
    record = vizcore.training_record("induction")
    text = "owl ring tree star fish moon lamp boat " * 2
    frames = vizcore.playback(record, text.strip())
    layer, head = vizcore.head_to_watch(frames)
    assert layer == 1
    weights = record.snapshot(record.snapshots[-1]).trace(text.strip()).attention(layer, head)
    stripe = [float(weights[at, at - 7]) for at in range(9, 17)]  # behind <s>: 8 words, again
    assert np.mean(stripe) > 0.5
    first = pd.Series([frame.log_likelihood for frame in frames])
    assert first.iloc[-1] > first.iloc[0] + 20
