"""Translate: a target written token by token, with what could have been written at each step."""

from typing import Any

import streamlit as st

import vizcore
from app import fields
from app.loading import load_model, work_out
from app.mount import mount, mount_map, plotly_itself
from app.scene import Scene, current, pick, within
from app.texts import _, code, literal

MOST_BEAMS = 8
MAP_ROOM = 270
MAP_HEIGHT = 430
N_SHOWN = 5
TRANSLATOR = "tatoeba-translator"


def show() -> None:
    """Draw the page."""
    scene = current()
    page, plotly = st.container(), st.container()
    with plotly:
        plotly_itself()
    with page:
        entry = next((one for one in vizcore.entries() if one.name == scene.model), None)
        if entry is not None and entry.kind != "encoder-decoder":
            _no_translator(scene.model)
            return
        model = load_model(scene.model)
        if model.kind != "encoder-decoder" or not model.has_head:
            _no_translator(scene.model)
            return
        if entry is None:  # then the side bar does not know that there is a target
            st.text_input(
                _("Target (the decoder reads it)"),
                key="target",
                bind="query-params",
                placeholder=_("empty: the model writes it"),
            )
            scene = current()
        _look(model, scene)


def _no_translator(name: str) -> None:
    st.info(
        _(
            "**{name} does not translate**: it reads one text. A translator is an "
            "encoder-decoder: it reads one text and writes another."
        ).format(name=literal(name)),
        icon=":material/info:",
    )
    if any(entry.name == TRANSLATOR for entry in vizcore.entries()):
        st.button(
            _("Translate with {name}").format(name=TRANSLATOR),
            on_click=_take_translator,
            type="primary",
        )


def _take_translator() -> None:
    st.session_state["model"] = TRANSLATOR
    if not st.session_state.get("text", "").isascii() or len(st.session_state["text"]) > 80:
        st.session_state["text"] = "They are reading a book."
    _start_afresh()


def _start_afresh() -> None:
    pick(prefix=None, token=None)


def _look(model: "vizcore.Model", scene: Scene) -> None:
    written, aligned = st.columns([7, 5], gap="medium")
    with aligned, st.container(horizontal=True):
        beams = _beams(scene)
        layer, head = _which_heads(model, scene)
    translation = _translate(model, scene, beams)
    with written:
        mount(
            _alternatives(model, translation, scene),
            key="alternatives",
            on_select=_picked(translation),
        )
        st.markdown(f":small[{_how_to_go_on(scene)}]")
    with aligned:
        _alignment(translation, layer, head, scene)


def _how_to_go_on(scene: Scene) -> str:
    if scene.target:
        return _(
            "This is your own target. Empty the field to let the model write, or click on an "
            "alternative to let it go on from there."
        )
    return _("To score a translation of your own, type it into Target.")


def _beams(scene: Scene) -> int:
    beams = min(max(scene.beams or 1, 1), MOST_BEAMS)
    fields.number(
        _("Beams"),
        "beams",
        beams,
        1,
        MOST_BEAMS,
        help=_(
            "With 1, the likeliest token is taken each time. With more, so many beginnings are "
            "kept, and the likeliest whole text is taken."
        ),
    )
    return beams


def _which_heads(model: "vizcore.Model", scene: Scene) -> tuple[int | None, int | None]:
    """The layer and head of the alignment; None for the mean of all."""
    layers = model.layers("cross")
    layer = within(scene.layer, layers[-1])
    fields.number(
        _("Layer"),
        "layer",
        layer,
        layers[0],
        layers[-1],
        optional=True,
        nothing=_("mean"),
        help=_("Empty: the mean of all layers."),
    )
    if layer is None:
        return None, None
    head = within(scene.head, model.n_heads - 1)
    fields.number(
        _("Head"),
        "head",
        head,
        0,
        model.n_heads - 1,
        optional=True,
        nothing=_("mean"),
        help=_("Empty: the mean of the layer's heads."),
    )
    return layer, head


def _translate(model: "vizcore.Model", scene: Scene, beams: int) -> "vizcore.Translation":
    target, prefix = scene.target or None, () if scene.target else tuple(scene.prefix_ids)
    if prefix and max(prefix) >= len(model.tokenizer or ()):
        prefix = ()  # a link from another model
    translation: vizcore.Translation = work_out(
        _("Writing the translation"),
        (id(model), scene.text, target, prefix, beams),
        lambda progress: vizcore.translate(
            model, scene.text, target=target, prefix=prefix, n_beams=beams, k=N_SHOWN
        ),
    )
    return translation


def _alternatives(
    model: "vizcore.Model", translation: "vizcore.Translation", scene: Scene
) -> "vizcore.View":
    steps = translation.steps
    n_forced = 0 if scene.target else max(0, len(scene.prefix_ids) - 1)
    forced = steps["step"][(steps["step"] < n_forced) & (steps["rank"] > 1)]
    per_token = translation.log_likelihood / max(1, len(steps))
    return vizcore.alternatives_view(
        steps,
        translation.alternatives,
        text=translation.text,
        note=_("log P(target | source) = {total:.2f} nats, {mean:.2f} a token").format(
            total=translation.log_likelihood, mean=per_token
        ),
        forced=forced.tolist(),
        special=model.special_positions(steps["token_id"].tolist()),
        selected=within(scene.token, len(steps) - 1),
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
        },
    )


def _picked(translation: "vizcore.Translation") -> Any:
    def picked(choice: dict[str, Any]) -> None:
        step, token_id = int(choice["step"]), int(choice["token_id"])
        if choice["action"] == "look":
            pick(token=None if current().token == step else step)
            return
        beginning = translation.beginning(step, token_id)
        if choice["action"] == "free":
            beginning = beginning[:-1]
        st.session_state["target"] = ""
        pick(prefix=".".join(map(str, beginning)) if len(beginning) > 1 else None, token=None)

    return picked


def _alignment(
    translation: "vizcore.Translation", layer: int | None, head: int | None, scene: Scene
) -> None:
    one = translation.alignment(layer, head)
    row = within(scene.token, len(one.query_tokens) - 1)
    st.markdown(_which(layer, head) + " " + _looked(one, row))
    figure = vizcore.heatmap(
        one, row=row, dark=st.context.theme.type == "dark", height=MAP_HEIGHT, room=MAP_ROOM
    ).figure
    figure.update_layout(title=None, margin_t=10)
    figure.update_traces(showscale=False, selector={"type": "heatmap"})  # its room is the labels'
    figure.update_layout(xaxis3_title_text=_("source"), yaxis_title_text=_("while it wrote"))
    if head is None:  # a mean of several heads is never near 1
        figure.update_traces(zmax=float(one.values.max()), selector={"type": "heatmap"})
    mount_map(
        figure,
        key="alignment",
        alt=_("Where it looked in the source while it wrote each token"),
        on_select=lambda choice: pick(
            token=None if current().token == int(choice["row"]) else int(choice["row"])
        ),
    )


def _which(layer: int | None, head: int | None) -> str:
    if layer is None:
        return _("**Where it looked** while it wrote, all heads together.")
    if head is None:
        return _("**Where layer {layer} looked** while it wrote, its heads together.").format(
            layer=layer
        )
    return _("**Where head {head} of layer {layer} looked** while it wrote.").format(
        layer=layer, head=head
    )


def _looked(one: "vizcore.AttentionMap", row: int | None) -> str:
    if row is None:
        return ""
    key = int(one.values[row].argmax())
    return _("For {token} most at {key}, {weight:.2f}.").format(
        token=code(one.query_tokens[row]),
        key=code(one.key_tokens[key]),
        weight=one.values[row][key],
    )
