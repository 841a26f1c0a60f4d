"""Generate: a model writes token by token, and each choice can be looked into or made otherwise."""

import time
from typing import Any

import pandas as pd
import streamlit as st

import vizcore
from app import chosen_for, fields, sampling_page, writing
from app.loading import PATIENCE, load_model, work_out
from app.mount import mount
from app.scene import Scene, current, pick, within
from app.texts import _, code, literal

OPENING = 8
"""Tokens that are written when the page opens."""
MORE = 10
AHEAD = 8
"""Tokens that a search looks ahead."""
BEAMS = 3
MOST_BEAMS = 8
LARGEST_SEED = 9999


def show() -> None:
    """Draw the page."""
    model = load_model(current().model)
    if not model.has_head or model.kind == "encoder":
        st.info(_cannot(model), icon=":material/info:")
        return
    _look(model)


def _cannot(model: "vizcore.Model") -> str:
    return _(
        "**{name} does not write**: it does not predict the next token. Choose a model that reads "
        "from left to right, such as smollm2-135m, or a translator."
    ).format(name=literal(model.name))


@st.fragment
def _look(model: "vizcore.Model") -> None:
    scene = current()
    buttons = st.container(horizontal=True, vertical_alignment="bottom")
    with buttons:
        sampling, seed = _settings(scene)
    one = writing.begin(
        model,
        scene.text,
        scene.target,
        sampling=sampling,
        seed=seed,
        forced=_forced(model, scene),
    )
    n_wanted = min(OPENING if scene.written is None else scene.written, writing.MOST)
    steps = _write(one, n_wanted + 1)
    written, ahead = steps[:n_wanted], steps[n_wanted:]
    with buttons:
        _buttons(written, ended=not ahead)
    if not written and not ahead:
        st.info(_("There is no room left for a token after this text."), icon=":material/info:")
        return
    chosen_for.show(steps, len(written))
    if scene.ahead == "tree" and ahead:
        _tree(model, scene, ahead[0])
    else:
        if scene.ahead == "tree":
            st.info(_("The text has ended, so nothing comes after it."), icon=":material/info:")
        mount(
            _choices(model, scene, written, ahead, sampling),
            key="choices",
            on_select=lambda choice: _chosen(choice, len(written)),
        )


def _settings(scene: Scene) -> "tuple[vizcore.Sampling, int]":
    """How tokens are drawn; as it opens, the likeliest is taken."""
    with st.container(width=190):
        temperature = sampling_page.temperature(0)
    with st.popover(_("More"), help=_("Cuts, and the luck with which tokens are drawn.")):
        sampling = sampling_page.of_temperature(temperature)
        fields.number(
            _("Seed"),
            "seed",
            min(scene.seed or 0, LARGEST_SEED),
            0,
            LARGEST_SEED,
            help=_("The same seed draws the same text."),
        )
        if scene.ahead == "tree":
            fields.number(
                _("Beams"),
                "beams",
                _n_beams(scene),
                1,
                MOST_BEAMS,
                help=_("So many beginnings are gone on from in each step of the search."),
            )
    return sampling, min(scene.seed or 0, LARGEST_SEED)


def _n_beams(scene: Scene) -> int:
    return min(max(scene.beams or BEAMS, 1), MOST_BEAMS)


def _forced(model: "vizcore.Model", scene: Scene) -> dict[int, int]:
    """Without what a link from another model may hold."""
    size = len(model.tokenizer or ())
    return {step: token_id for step, token_id in scene.forced_ids.items() if token_id < size}


def _write(one: writing.Writing, n_steps: int) -> "list[vizcore.GenerationStep]":
    """The steps; if they take long, the text is shown as it comes."""
    place, began = st.empty(), time.monotonic()
    steps = []
    for step in one.up_to(n_steps):
        steps.append(step)
        if time.monotonic() - began > PATIENCE:
            place.markdown(literal(step.text))
    place.empty()
    return steps


def _buttons(written: "list[vizcore.GenerationStep]", *, ended: bool) -> None:
    n_written = len(written)
    full = ended or n_written >= writing.MOST
    st.button(
        _("Next token"),
        key="next",
        type="primary",
        disabled=full,
        on_click=_change,
        kwargs={"written": n_written + 1, "token": None},
    )
    st.button(
        _("{n} more").format(n=MORE),
        key="more",
        disabled=full,
        on_click=_change,
        kwargs={"written": min(n_written + MORE, writing.MOST), "token": None},
    )
    st.button(
        _("Undo"),
        key="undo",
        icon=":material/undo:",
        disabled=not (n_written or _history()),
        on_click=_undo,
        args=(n_written,),
        help=_("Takes back the last thing that was done, or the last token."),
    )
    st.button(
        _("Draw again"),
        key="again",
        icon=":material/casino:",
        disabled=(current().temperature or 0) == 0,
        on_click=_change,
        kwargs={"seed": ((current().seed or 0) + 1) % (LARGEST_SEED + 1)},
        help=_("With other luck. At temperature 0 the likeliest is taken, and luck plays no part."),
    )
    if written and written[-1].source_ids is None:
        st.button(
            _("Use as text"),
            key="use",
            icon=":material/keyboard_tab:",
            on_click=_use,
            args=(written[-1],),
            help=_("The text so far becomes the text on the left, for all pages."),
        )
        if st.session_state.pop("generate_used", False):
            st.rerun()  # the text on the left is not a part of this


def _use(step: "vizcore.GenerationStep") -> None:
    tokenizer: Any = step.model.tokenizer
    st.session_state["text"] = tokenizer.decode(list(step.ids), skip_special_tokens=True)
    st.session_state["generate_used"] = True
    pick(written=0, forced=None, token=None)


def _history() -> list[dict[str, Any]]:
    """What was picked before each change, in this session and for this text."""
    scene, state = current(), st.session_state
    of = (scene.model, scene.text, scene.target)
    if state.get("generate_of") != of:
        state["generate_of"], state["generate_before"] = of, []
    history: list[dict[str, Any]] = state["generate_before"]
    return history


def _change(**picks: Any) -> None:
    scene = current()
    before = {"written": scene.written, "forced": scene.forced or None, "seed": scene.seed}
    _history().append(before)
    pick(**picks)


def _undo(n_written: int) -> None:
    history = _history()
    if history:
        pick(**history.pop(), token=None)
    else:
        pick(written=n_written - 1, token=None)


def _force(forced: dict[int, int], n_written: int) -> None:
    pairs = ".".join(f"{step}-{token_id}" for step, token_id in sorted(forced.items()))
    _change(forced=pairs or None, written=n_written, token=None)


def _chosen(choice: dict[str, Any], n_written: int) -> None:
    """An alternative was clicked: what was forced before it stays, what came after is unknown."""
    step, token_id = int(choice["step"]), int(choice["token_id"])
    if choice["action"] == "look":
        pick(token=None if current().token == step else step)
        return
    forced = {at: its for at, its in current().forced_ids.items() if at < step}
    if choice["action"] == "force":
        forced[step] = token_id
    _force(forced, max(n_written, step + 1))


def _choices(
    model: "vizcore.Model",
    scene: Scene,
    written: "list[vizcore.GenerationStep]",
    ahead: "list[vizcore.GenerationStep]",
    sampling: "vizcore.Sampling",
) -> "vizcore.View":
    steps = pd.DataFrame(
        [
            (one.step, one.token, one.token_id, one.log_probability, one.probability, one.rank)
            for one in written
        ],
        columns=["step", "token", "token_id", "log_probability", "probability", "rank"],
    )
    is_drawn = sampling.temperature > 0
    shares = "drawn_probability" if is_drawn else "probability"
    alternatives = pd.concat(
        [
            one.alternatives.assign(step=one.step, probability=one.alternatives[shares])
            for one in [*written, *ahead]
        ]
    )
    total = float(steps["log_probability"].sum())
    bars = _("Bars: what is drawn from.") if is_drawn else _("Bars: what the model expects.")
    note = _("log P(written) = {total:.2f} nats.").format(total=total) if written else ""
    return vizcore.alternatives_view(
        steps,
        alternatives,
        text=written[-1].text if written and model.kind == "encoder-decoder" else "",
        note=f"{note} {bars}".strip(),
        forced=[one.step for one in written if one.forced],
        special=model.special_positions(steps["token_id"].tolist()) if written else (),
        selected=within(scene.token, len(written) - 1) if written else None,
        texts={
            "copy": _("Copy"),
            "copied": _("Copied"),
            "label": _("{steps} steps. Arrow keys move, Enter takes an alternative."),
            "hint": _("Click on an alternative: it is written there, and the rest changes."),
            "written": _(
                "{token} was written: probability {probability}, rank {rank}, {nats} nats"
            ),
            "other": _(
                "{token}: probability {probability}, rank {rank}, {nats} nats. Click to write it"
            ),
            "forced": _("{token} was forced: probability {probability}, rank {rank}, {nats} nats"),
            "free": _("undo"),
            "nothing": _("next?"),
        },
    )


def _tree(model: "vizcore.Model", scene: Scene, ahead: "vizcore.GenerationStep") -> None:
    """What a beam search finds from here on; a click writes up to there."""
    n_beams = _n_beams(scene)
    text = ahead.read_ids if ahead.source_ids is None else ahead.source_ids
    target = None if ahead.source_ids is None else ahead.read_ids
    tree: vizcore.BeamTree = work_out(
        _("Searching"),
        (id(model), text, target, n_beams),
        lambda _progress: vizcore.beam_tree(
            model, list(text), target=target, n_beams=n_beams, max_new_tokens=AHEAD
        ),
    )
    st.markdown(
        _(
            "The likeliest way to go on for up to {n} tokens: {text} ({total:.2f} nats). "
            "Click on a token to write up to it."
        ).format(n=AHEAD, text=code(tree.text().replace("\n", "⏎")), total=tree.best.total)
    )
    key = f"tree_{len(ahead.read_ids)}_{n_beams}"
    figure = vizcore.beam_figure(tree.to_frame(), dark=st.context.theme.type == "dark").figure
    st.plotly_chart(
        figure,
        key=key,
        config={"displayModeBar": False},
        on_select=lambda: _take(key, tree, ahead),
        selection_mode="points",
    )


def _take(key: str, tree: "vizcore.BeamTree", ahead: "vizcore.GenerationStep") -> None:
    points = st.session_state[key]["selection"]["points"]
    number = points[0].get("customdata") if points else None
    number = number[0] if isinstance(number, list) else number
    if not number:  # the start is written already
        return
    path = tree.path(int(number))[1:]
    new = {ahead.step + node.step: node.token_id for node in path}
    _force({**current().forced_ids, **new}, ahead.step + len(path))
