"""Training: how a model came about, and one text at every snapshot of it."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

import vizcore
from app.loading import work_out
from app.mount import mount
from app.scene import current, pick, within
from app.texts import _, literal

REPEATS = "owl ring tree star fish moon lamp boat owl ring tree star fish moon lamp boat"
"""For the demonstration of induction heads, whose words these are."""
VIEW_HEIGHT = 556
CURVES_HEIGHT = 420
MAX_TOKENS = 200
"""Of a text that is played back: all of its snapshots are sent to the browser."""


def show() -> None:
    """Draw the page."""
    records = work_out(_("Reading how the models were trained"), "bundled", _bundled)
    records = {**records, **_own(current().model, records)}
    if not records:
        st.info(_nothing_there(), icon=":material/info:")
        return
    which, reading, words = st.columns([3, 5, 7], vertical_alignment="bottom")
    with which:
        record = records[_choose(records)]
    with reading:
        text = _text(record)
    with words:
        st.markdown(f":small[{_look_for(record)}]")
    if record.snapshots:
        _play(record, text)
    else:
        _curves_alone(record)
    _table(list(records.values()))


def _bundled(_progress: Any) -> "dict[str, vizcore.TrainingRecord]":
    """The records of the catalogue's models that have one, the demonstration first."""
    found = {}
    for entry in sorted(vizcore.entries(), key=lambda entry: entry.name != "induction"):
        try:
            found[entry.name] = vizcore.training_record(entry.name)
        except vizcore.VizcoreError:
            continue  # this one was trained elsewhere
    return found


def _own(model: str, others: "dict[str, vizcore.TrainingRecord]") -> Any:
    """The record of the model in the side bar, if it is a folder that has one."""
    if model in others or not (Path(model).expanduser() / "metrics.csv").is_file():
        return {}
    try:
        return {model: vizcore.training_record(model)}
    except vizcore.VizcoreError as error:
        st.error(literal(str(error)), icon=":material/error:")
        return {}


def _nothing_there() -> str:
    return _(
        "**No model here was trained with Headlight.** Train one with `vizcore train`, then type "
        "its folder into Model on the left: its curves and snapshots appear on this page."
    )


def _choose(records: "dict[str, vizcore.TrainingRecord]") -> str:
    """Which training: at first the demonstration, or the folder in the side bar."""
    names, model = list(records), current().model
    if st.session_state.get("trained") not in names:
        st.session_state.pop("trained", None)  # its folder is no longer in the side bar
    known = [entry.name for entry in vizcore.entries()]
    opening = model if model in names and model not in known else names[0]
    chosen: str = st.selectbox(
        _("Trained model"),
        names,
        index=names.index(opening),
        key="trained",
        bind="query-params",
        # The address holds these words, so no two may be the same.
        format_func=lambda name: name if Path(name).name in names else Path(name).name,
        on_change=_forget,
        args=(records,),
    )
    return chosen


def _forget(records: "dict[str, vizcore.TrainingRecord]") -> None:
    """A text, a snapshot or a head of one training means nothing in another."""
    st.session_state["sample"] = _opening_text(records[st.session_state["trained"]])
    pick(snapshot=None, token=None, layer=None, head=None)


def _text(record: "vizcore.TrainingRecord") -> str:
    text: str = st.text_input(
        _("Text that every snapshot reads"),
        _opening_text(record),
        key="sample",
        bind="query-params",
        disabled=not record.snapshots,
        on_change=lambda: pick(token=None),
    )
    return text


def _is_induction(record: "vizcore.TrainingRecord") -> bool:
    return "induction_score" in record.metrics


def _opening_text(record: "vizcore.TrainingRecord") -> str:
    if _is_induction(record):
        return REPEATS
    if "mask" in str(record.facts.get("task")):
        return "I want to <mask> you."
    return current().text


def _look_for(record: "vizcore.TrainingRecord") -> str:
    if _is_induction(record):
        return _(
            "**Press Play and watch a stripe appear.** The words come twice. An *induction head* "
            "looks at what **followed** the same word the first time; from then on the second "
            "time is no surprise."
        )
    return _(
        "**Training** loss is on sentences that it learned from, **validation** loss on others. "
        "Where the **gap** between them widens, the model begins to learn by heart."
    )


def _charts(
    record: "vizcore.TrainingRecord", frames: "Sequence[vizcore.Frame]"
) -> tuple[dict[str, pd.DataFrame], dict[str, str], dict[str, str]]:
    """The curves by title, their units, and the names of the gaps between them."""
    loss, halves, score, text = (
        _("Loss"),
        _("Loss on words that come twice"),
        _("Induction score of the best head"),
        _("This text"),
    )
    metrics = record.metrics.set_index("step")
    lines = {
        loss: {"train_loss": _("training"), "validation_loss": _("validation")},
        halves: {"first_half_loss": _("first time"), "second_half_loss": _("second time")},
        score: {"induction_score": _("weight on what followed")},
    }
    charts = {}
    for title, names in lines.items():
        there = [column for column in names if column in metrics]
        if there:
            charts[title] = metrics[there].rename(columns=names)
    likelihoods = {frame.step: frame.log_likelihood for frame in frames}
    if frames and frames[0].surprisal is not None:
        charts[text] = pd.DataFrame({_("log-likelihood"): pd.Series(likelihoods)})
    units = {loss: _("nats a token"), halves: _("nats a token"), text: _("nats")}
    return charts, units, {loss: _("gap")}


def _play(record: "vizcore.TrainingRecord", text: str) -> None:
    kind = _kind(record)
    made = work_out(
        _("Running every snapshot"),
        (str(record.folder), record.snapshots, text, kind),
        lambda progress: _played(record, text, kind, progress),
    )
    _player(*made)


def _kind(record: "vizcore.TrainingRecord") -> str | None:
    if record.facts.get("task") != "translation":
        return None
    kinds = {
        "cross": _("Target looks at source"),
        "decoder": _("Target looks at target"),
        "encoder": _("Source looks at source"),
    }
    st.session_state["field_kind"] = current().kind or "cross"
    chosen: str = st.segmented_control(
        _("Attention"),
        list(kinds),
        format_func=kinds.__getitem__,
        key="field_kind",
        on_change=lambda: pick(kind=st.session_state["field_kind"]),
        required=True,
        label_visibility="collapsed",
    )
    return chosen


def _played(
    record: "vizcore.TrainingRecord", text: str, kind: str | None, progress: Any
) -> "tuple[vizcore.View, list[vizcore.Frame]]":
    frames = vizcore.playback(record, text, kind=kind, progress=progress)
    charts, units, gaps = _charts(record, frames)
    view = vizcore.training_view(
        frames, charts, units=units, gaps=gaps, height=VIEW_HEIGHT, texts=_view_texts()
    )
    return view, frames


def _view_texts() -> dict[str, str]:
    return {
        "play": _("Play"),
        "pause": _("Pause"),
        "snapshot": _("Snapshot"),
        "step": _("step {step} of {last}"),
        "expects": _("After {token} it expects"),
        "comes": _("{token} comes: #{rank}"),
        "surprise": _("{bits:.2f} bits of surprise, rank {rank}"),
        "unscored": _("nothing stands before it"),
        "low": _("expected"),
        "high": _("surprising"),
    }


@st.fragment
def _player(view: "vizcore.View", frames: "list[vizcore.Frame]") -> None:
    scene = current()
    places = {(one.layer, one.head) for one in frames[-1].maps}
    head = (scene.layer, scene.head)
    mount(
        view,
        key="player",
        on_select=_picked,
        step=scene.snapshot,
        token=_token(frames[-1], scene.token),
        head=list(head if head in places else vizcore.head_to_watch(frames)),
    )


def _token(frame: "vizcore.Frame", picked: int | None) -> int:
    """The token after which predictions are shown: one of which is known what comes."""
    last = len(frame.tokens) - 1
    if picked is not None:
        return within(picked, last) or 0
    if "<mask>" in frame.tokens:
        return frame.tokens.index("<mask>")
    return max(0, last - 3)


def _picked(choice: dict[str, Any]) -> None:
    pick(
        snapshot=choice["step"],
        token=choice["token"],
        layer=choice["layer"],
        head=choice["head"],
    )


def _curves_alone(record: "vizcore.TrainingRecord") -> None:
    st.markdown(
        _(
            "Of this training no snapshots were kept, so only its curves can be shown. `vizcore "
            "train` keeps some."
        )
    )
    charts, units, gaps = _charts(record, [])
    if not len(record.metrics) or not charts:
        st.info(_("Nothing was measured yet: the first evaluation is still to come."))
        return
    view = vizcore.training_view(
        [], charts, units=units, gaps=gaps, height=CURVES_HEIGHT, texts=_view_texts()
    )
    mount(view, key="curves", on_select=lambda choice: None)


def _table(records: "Sequence[vizcore.TrainingRecord]") -> None:
    st.markdown("**" + _("What was trained, and how it was judged") + "**")
    st.dataframe(
        pd.DataFrame(
            {
                "model": [record.name for record in records],
                "task": [str(record.facts.get("task") or "") for record in records],
                "parameters": [record.n_parameters for record in records],
                "size": [record.n_bytes / 1e6 for record in records],
                "time": [_duration(record.seconds) for record in records],
                "scores": [_scores(record) for record in records],
            }
        ),
        hide_index=True,
        height="content",
        column_config={
            "model": st.column_config.TextColumn(_("Model")),
            "task": st.column_config.TextColumn(_("Task")),
            "parameters": st.column_config.NumberColumn(_("Parameters"), format="localized"),
            "size": st.column_config.NumberColumn(_("Weights"), format="%.1f MB"),
            "time": st.column_config.TextColumn(_("Training time")),
            "scores": st.column_config.TextColumn(_("Scores"), width="large"),
        },
    )


def _duration(seconds: float) -> str:
    if math.isnan(seconds):
        return ""
    if seconds < 90:
        return _("{seconds:.0f} s").format(seconds=seconds)
    minutes = round(seconds / 60)
    if minutes < 90:
        return _("{minutes} min").format(minutes=minutes)
    return _("{hours} h {minutes} min").format(hours=minutes // 60, minutes=minutes % 60)


def _scores(record: "vizcore.TrainingRecord") -> str:
    return " · ".join(
        f"{name.replace('_', ' ')} {score:.4g}" for name, score in record.scores.items()
    )
