"""The workshop: each thing is made once, whoever asks, and everybody can see how far it is."""

import threading

import numpy as np
import pytest

import vizcore
from app.loading import SHORT, Workshop, opening_head
from tests.support.tiny import tiny_network, tokenizer_for


def test_a_job_is_there_at_once_and_says_how_far_it_is() -> None:
    go_on = threading.Event()

    def make(progress) -> str:  # type: ignore[no-untyped-def]
        progress("Reading", 0.5)
        go_on.wait(30)
        return "made"

    job = Workshop(3).order("key", make)
    while not job.message:
        pass
    assert (job.message, job.fraction, job.made.done()) == ("Reading", 0.5, False)
    go_on.set()
    assert job.made.result(timeout=30) == "made"


def test_what_two_sessions_ask_for_at_once_is_made_once() -> None:
    workshop, made, together = Workshop(3), [], threading.Barrier(8)

    def session() -> None:
        together.wait(30)
        results.append(workshop.order("model", lambda progress: made.append(1) or object()).made)

    results: list = []
    threads = [threading.Thread(target=session) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len({id(result.result(timeout=30)) for result in results}) == 1
    assert len(made) == 1


def test_what_failed_is_tried_again_and_the_error_reaches_everybody() -> None:
    workshop = Workshop(3)

    def fail(progress) -> None:  # type: ignore[no-untyped-def]
        raise ValueError("no network")

    first = workshop.order("key", fail).made
    with pytest.raises(ValueError, match="no network"):
        first.result(timeout=30)
    assert workshop.order("key", lambda progress: 7).made.result(timeout=30) == 7


def test_what_was_not_looked_at_for_longest_is_dropped_first() -> None:
    workshop, made = Workshop(2), []
    for key in "abacab":
        workshop.order(key, lambda progress, key=key: made.append(key)).made.result(timeout=30)
    assert made == ["a", "b", "c", "b"]


def test_cross_attention_opens_with_the_head_whose_queries_most_decide_where_it_looks() -> None:
    network = tiny_network("t5")
    model = vizcore.Model.of(network, tokenizer_for(network))
    trace = model.trace("the cat sat on the mat", "a cat that can open doors")
    decided = {}
    for one in trace.maps("cross"):
        rows = one.values.astype(float)
        mean = rows.mean(axis=0)
        spread = -(rows * np.log(rows)).sum(axis=1).mean()
        decided[one.layer, one.head] = -(mean * np.log(mean)).sum() - spread
    assert opening_head(trace, "cross") == max(decided, key=decided.__getitem__)


def test_a_single_target_token_opens_with_the_first_head() -> None:
    network = tiny_network("t5")
    model = vizcore.Model.of(network, tokenizer_for(network))
    trace = model.trace("the cat sat on the mat", [1])
    assert opening_head(trace, "cross") == (0, 0)


def test_of_a_long_text_the_first_head_opens_without_looking_for_another() -> None:
    network = tiny_network("t5")
    model = vizcore.Model.of(network, tokenizer_for(network))
    trace = model.trace(list(range(4, 4 + SHORT)) + [7], [1, 5, 6])
    assert opening_head(trace, "cross") == (0, 0)
