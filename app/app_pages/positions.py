"""Positions: how the model is told where a token stands, and what that looks like."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

import vizcore
from app import fields
from app.loading import load_model, work_out
from app.scene import Scene, current, pick, within
from app.texts import _, literal

SPANS = (16, 32, 64, 128, 256, 512)
USUAL_SPAN = 64
HEIGHT = 330
DIAL_HEIGHT = 380
BIAS_HEIGHT = 390
LAST_PLACE = 200


def show() -> None:
    """Draw the page."""
    model = load_model(current().model)
    _model, encodings = work_out(
        _("Finding out how the model is told positions"),
        ("positions", id(model)),
        lambda progress: (model, vizcore.positions(model)),
    )
    _look(encodings)


@st.fragment
def _look(encodings: "vizcore.PositionalEncodings") -> None:
    scene = current()
    with st.container(gap="small"):
        encoding = _encoding(encodings, scene)
        st.markdown(_said(encoding))
        if isinstance(encoding, vizcore.PositionTable):
            _table(encoding, scene)
        elif isinstance(encoding, vizcore.RotaryPositions):
            _rotary(encoding, scene)
        elif isinstance(encoding, vizcore.AlibiPositions | vizcore.BiasPositions):
            _biases(encoding, scene)
        else:
            st.caption(
                _(
                    "There are no numbers to draw here. Two models that have some: smollm2-135m "
                    "turns its queries and keys, minilm-l6 has a learned table."
                )
            )


def _encoding(
    encodings: "vizcore.PositionalEncodings", scene: Scene
) -> "vizcore.PositionalEncoding":
    """The encoding that is looked at; a field for it where there are several."""
    last = len(encodings) - 1
    chosen = within(scene.encoding, last) or 0
    if last == 0:
        return encodings[0]
    several = len({kind for one in encodings for kind in one.kinds}) > 1
    st.session_state["field_encoding"] = chosen
    st.segmented_control(
        _("Encoding"),
        list(range(last + 1)),
        format_func=lambda number: _name(encodings[number], several=several),
        key="field_encoding",
        on_change=lambda: pick(encoding=st.session_state["field_encoding"]),
        required=True,
        label_visibility="collapsed",
    )
    return encodings[chosen]


def _name(encoding: "vizcore.PositionalEncoding", *, several: bool) -> str:
    """What it is called among the others; with its stacks if the model has several."""
    names = {
        "sinusoidal": _("Sinusoidal"),
        "learned": _("Learned"),
        "rotary": _("Rotary"),
        "alibi": _("ALiBi"),
        "relative bias": _("Relative bias"),
        "relative": _("Relative"),
        "none": _("None"),
        "unknown": _("Unknown"),
    }
    stacks = {"encoder": _("encoder"), "decoder": _("decoder")}
    parts = [names[encoding.family]]
    if several:
        parts.append(" + ".join(stacks[kind] for kind in encoding.kinds))
    if len(encoding.layers) == 1:
        parts.append(_("layer {layer}").format(layer=encoding.layers[0]))
    elif encoding.layers:
        parts.append(_("layers {layers}").format(layers=_ranges(encoding.layers)))
    return " · ".join(parts)


def _ranges(layers: Sequence[int]) -> str:
    """The numbers in short: "0–4, 6"."""
    runs: list[list[int]] = []
    for layer in layers:
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def _said(encoding: "vizcore.PositionalEncoding") -> str:
    """The description, with its first word or two, the name of the family, in bold."""
    name, colon, rest = encoding.description.partition(":")
    return f"**{literal(name)}{literal(colon)}**{literal(rest)}" if colon else literal(name)


# --- Tables -------------------------------------------------------------------------------------


def _table(table: "vizcore.PositionTable", scene: Scene) -> None:
    n_positions, n_dims = table.values.shape
    with st.container(horizontal=True, vertical_alignment="bottom"):
        span = _span(scene, n_positions, _("Positions shown"))
        dims = _dims(scene, n_dims)
    dark = st.context.theme.type == "dark"
    left, right = st.columns(2, gap="medium")
    with left:
        _explain(_("Each **row** is what is added to the token at that position."), _formula(table))
        figure = vizcore.position_heatmap(
            table, n_positions=span, dims=dims, dark=dark, height=HEIGHT
        )
        _draw(figure, "position_table")
    with right:
        _explain(
            _("Two **columns** of it, drawn as curves over the positions."),
            r"p \mapsto PE_{p,\,\mathrm{dim}}",
        )
        figure = vizcore.position_waves(table, dims, n_positions=span, dark=dark, height=HEIGHT)
        _draw(figure, "position_waves")
    left, right = st.columns(2, gap="medium")
    with left:
        said = (
            _("The **dot product** of two positions depends on their distance alone.")
            if table.frequencies is not None
            else _("**Dot product** by distance: the mean, and most pairs (band).")
        )
        formula = r"PE_p \cdot PE_{p+k}"
        if table.frequencies is not None:
            formula += r" = \sum_i \cos(k\,\theta_i)"
        _explain(said, formula)
        figure = vizcore.position_products(table, n_positions=span, dark=dark, height=HEIGHT)
        _draw(figure, "position_products")
    with right:
        _explain(
            _("How **alike** two positions are: 1 same direction, 0 unrelated."),
            r"\cos(PE_p, PE_q)",
        )
        figure = vizcore.position_similarity(table, n_positions=span, dark=dark, height=HEIGHT)
        _draw(figure, "position_similarity")


def _formula(table: "vizcore.PositionTable") -> str:
    if table.frequencies is None:
        return r"x_p = \mathrm{token}_p + PE_p"
    # Tensor2Tensor's slowest wave is 10000 times as long as its fastest, the paper's a little less.
    steps = "d" if table.frequencies[-1] > 1.001e-4 else "(d-2)"
    return rf"\sin(p\,\theta_i),\ \cos(p\,\theta_i), \quad \theta_i = 10000^{{-2i/{steps}}}"


def _dims(scene: Scene, n_dims: int) -> tuple[int, int]:
    """The two dimensions that are drawn as curves, in the colours that they have there."""
    picked = [min(int(one), n_dims - 1) for one in scene.dims.split(".") if one]
    first, second = picked if len(picked) == 2 else (n_dims // 16, n_dims // 4)
    st.session_state["field_first"], st.session_state["field_second"] = first, second

    def changed() -> None:
        chosen = (st.session_state[key] for key in ("field_first", "field_second"))
        pick(dims=".".join(str(int(one)) for one in chosen))

    hint = _("Each position has a vector; the numbers in it are its dimensions.")
    st.slider(
        _("Blue curve: dimension"), 0, n_dims - 1, key="field_first", on_change=changed, help=hint
    )
    st.slider(_("Orange curve: dimension"), 0, n_dims - 1, key="field_second", on_change=changed)
    return first, second


# --- Rotations ----------------------------------------------------------------------------------


def _rotary(rotary: "vizcore.RotaryPositions", scene: Scene) -> None:
    pairs = rotary.pairs()
    last = len(pairs) - 1
    pair = within(scene.pair, last)
    if pair is None:
        pair = last // 8
    place = within(scene.place, LAST_PLACE)
    place = 5 if place is None else place
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if last:
            hint = _("RoPE turns a head's dimensions two at a time. Pair 0 turns fastest.")
            _slider(_("Pair of dimensions"), "pair", pair, last, help=hint)
        _slider(_("Position of the token"), "place", place, LAST_PLACE)
        span = _span(scene, SPANS[-1], _("Distances shown"))
    dark = st.context.theme.type == "dark"
    left, right = st.columns([2, 3], gap="medium")
    with left:
        turn = pairs["tokens_a_turn"][pair]
        _explain(
            _(
                "**Pair {pair}** as the hand of a clock: one turn takes {tokens} tokens. The dots "
                "are the positions before."
            ).format(pair=pair, tokens=f"{turn:,.1f}" if turn < 100 else f"{turn:,.0f}"),
            rf"p\,\theta_{{{pair}}} = {place} \cdot {pairs['frequency'][pair]:.3g}",
        )
        _draw(
            vizcore.rotary_dial(rotary, pair, place, dark=dark, height=DIAL_HEIGHT), "rotary_dial"
        )
    with right:
        _explain(
            _(
                "What **distance** does: it multiplies each pair's part $c_i$ of a score by a "
                "factor from 1 to −1. Top: every pair; below: their mean."
            ),
            r"q_m \cdot k_n \to \sum_i c_i \cos\big((m-n)\,\theta_i\big)",
        )
        _draw(
            vizcore.rotary_factors(rotary, pair, n_distances=span, dark=dark, height=DIAL_HEIGHT),
            "rotary_factors",
        )


# --- Biases -------------------------------------------------------------------------------------


def _biases(encoding: "vizcore.AlibiPositions | vizcore.BiasPositions", scene: Scene) -> None:
    layer: int | None = None
    straight = isinstance(encoding, vizcore.AlibiPositions)
    n_heads = encoding.n_heads
    head = within(scene.head, n_heads - 1)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if not encoding.is_shared:
            nearest = scene.layer or 0
            layer = min(encoding.layers, key=lambda one: abs(one - nearest))
            fields.number(_("Layer"), "layer", layer, encoding.layers[0], encoding.layers[-1])
        hint = _("Type a number to bring one head out.")
        fields.number(_("Head"), "head", head, 0, n_heads - 1, optional=True, help=hint)
        span = _span(scene, SPANS[-1], _("Distances shown"))
    _explain(
        _("Each **line** is a head: what it takes off a score, the farther away the key is.")
        if straight
        else _("Each **line** is a head: what it has learned to add to a score at each distance."),
        r"\text{score}_{m,n} - \text{slope}_h \cdot |m-n|"
        if straight
        else r"\text{score}_{m,n} + b_{h,\ \mathrm{bucket}(m-n)}",
    )
    figure = vizcore.position_biases(
        encoding,
        layer=layer,
        head=head,
        n_distances=span,
        dark=st.context.theme.type == "dark",
        height=BIAS_HEIGHT,
    )
    _draw(figure, "position_biases")


# --- What all have in common --------------------------------------------------------------------


def _explain(said: str, formula: str) -> None:
    st.markdown(f"{said}  \n${formula}$")


def _draw(view: Any, key: str) -> None:
    st.plotly_chart(view.figure, key=key, theme=None, config={"displayModeBar": False})


def _span(scene: Scene, most: int, label: str) -> int:
    """How many positions or distances are shown."""
    choices = [span for span in SPANS if span < most] + [most]
    wanted = USUAL_SPAN if scene.span is None else scene.span
    span = min(choices, key=lambda one: abs(one - wanted))
    fields.one_of(label, "span", span, choices)
    return span


def _slider(label: str, name: str, picked: int, last: int, *, help: str | None = None) -> None:
    key = f"field_{name}"
    st.session_state[key] = picked
    st.slider(
        label,
        0,
        last,
        key=key,
        on_change=lambda: pick(**{name: int(st.session_state[key])}),
        help=help,
    )
