"""Scores of all heads: what is known of the models that have them is found."""

import vizcore
from vizcore.head_metrics import head_scores


def test_the_words_name_what_is_done_on_texts_and_what_on_random_tokens() -> None:
    scores = head_scores(vizcore.load("induction"))
    for row in scores.to_dict("records"):
        if row["pattern"] == "induction":
            assert row["prefix_matching"] >= 0.5
            assert row["summary"].endswith(
                f"; on random tokens induction, {row['prefix_matching']:.2f}"
            )
        if row["pattern"] == "first":
            assert f"the first token, {row['first_token']:.2f}" in row["summary"]


def test_the_induction_model_has_induction_heads_where_it_was_trained_and_before_it_none() -> None:
    record = vizcore.training_record("induction")
    first, last = (record.snapshot(record.snapshots[place]) for place in (0, -1))
    assert head_scores(first)["prefix_matching"].max() < 0.1
    after = head_scores(last)
    found = after[after["prefix_matching"] > 0.5]
    assert {*found["layer"]} == {1}
    assert {*found["pattern"]} == {"induction"}


def test_what_is_known_of_smollm2_is_found(smollm2: vizcore.Model) -> None:
    scores = head_scores(smollm2)
    assert len(scores) == 270
    best = scores.loc[scores["previous_token"].idxmax()]
    assert best["previous_token"] > 0.8
    assert best["pattern"] == "previous"
    induction = scores[scores["pattern"] == "induction"]
    assert (induction["prefix_matching"] > 0.7).sum() >= 3
    assert induction["layer"].min() > best["layer"]
    assert (scores["first_token"] > 0.5).mean() > 0.5
    assert (scores["first_token"] > 0.9).any()


def test_what_is_known_of_minilm_is_found(minilm: vizcore.Model) -> None:
    scores = head_scores(minilm)
    assert scores["previous_on_texts"].max() > 0.95
    assert scores["next_token"].max() > 0.5
    assert (scores["first_token"] > 0.5).any()
    assert scores["separator"].notna().all()
