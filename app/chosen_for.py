"""Where a model looked when it chose a token that it wrote: the text so far, coloured by attention.

The text itself carries the colours, so what was read and what was written stand in one line. For
all heads at once see the page Attention.
"""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

import vizcore
from app import fields
from app.loading import work_out
from app.mount import mount
from app.scene import Scene, current, pick, within
from app.texts import _, code

N_LOOKED_AT = 3
LEAST = 1e-6
"""Of attention, at the dark end of the colours."""


def show(steps: "list[vizcore.GenerationStep]", n_written: int) -> None:
    """The whole text, on the colours of where the model looked when it chose one of its tokens.

    Args:
        steps: of the writing; there may be one more than is written.
        n_written: how many tokens are written.
    """
    scene, model = current(), steps[0].model
    last = max(0, n_written - 1)
    place = within(scene.token, min(len(steps) - 1, last))
    step = steps[last if place is None else place]
    trace: vizcore.Trace = work_out(
        _("Looking at the attention"),
        (id(model), step.source_ids, step.read_ids),
        lambda _progress: (model, step.trace()),
    )[1]
    which = st.container(horizontal=True, vertical_alignment="bottom")
    with which:
        said = st.container()
        kind, row = _whose(trace, scene)
        fields.choice(
            _("What could come"),
            "ahead",
            scene.ahead,
            {"": _("Alternatives"), "tree": _("Tree")},
            hidden=True,
        )
    reads_source = kind == "cross"
    weights = row.values[0]
    is_sink = not reads_source and len(weights) > 1 and int(weights.argmax()) == 0
    labels, shown = list(row.key_tokens), [float(weight) for weight in weights]
    details = [_("{weight:.3f} of the attention").format(weight=weight) for weight in shown]
    high = max(shown[is_sink:])
    if is_sink:
        shown[0] = math.nan
    if not reads_source and n_written:
        after = [other.token for other in steps[step.step : n_written]]
        labels, shown = labels + after, shown + [math.nan] * len(after)
        details += [_("chosen now"), *[_("written later")] * (len(after) - 1)]
    with said:
        st.markdown(_looked(step, row, written=n_written > 0, is_sink=is_sink))
    mount(
        vizcore.tokens_view(
            labels,
            shown,
            low=0,
            high=max(high, LEAST),
            low_label=_("not looked at"),
            high_label=_("{high:.2f} of the attention").format(high=high),
            details=details,
            special=model.special_positions(trace.source_ids) if reads_source else (),
            selected=step.n_prompt + step.step if n_written and not reads_source else None,
            texts={
                "label": _("The text so far, {tokens} tokens. Arrow keys move, Enter picks one."),
                "hint": _("Pick a token that was written, to see where the model looked for it."),
            },
        ),
        key=f"so_far_{kind}",
        on_select=lambda choice: _look_at(choice, step.n_prompt, 0 if reads_source else n_written),
    )


def _look_at(choice: dict[str, Any], n_prompt: int, n_written: int) -> None:
    place = int(choice["token"]) - n_prompt
    if 0 <= place < n_written:
        pick(token=place)


def _whose(trace: "vizcore.Trace", scene: Scene) -> "tuple[str, vizcore.AttentionMap]":
    """Which kind of attention, and where the last row looks: in the mean of all heads, of those of
    a layer, or in one head."""
    several = len(trace.kinds) > 1
    kind = trace.kinds[0]
    if several:
        kind = "decoder" if scene.kind == "decoder" else "cross"
    layers, n_heads = trace.layers(kind), trace.n_heads(kind)
    layer, head = _head(layers, n_heads, scene)
    label, mean = _("All heads"), _("mean")
    if layer is not None:
        label = _("Layer {layer}").format(layer=layer)
    if head is not None:
        label += _(", head {head}").format(head=head)
    with st.popover(label, help=_("Whose attention is shown.")):
        if several:
            words = {"": _("Target looks at source"), "decoder": _("Target looks at target")}
            fields.choice(_("Attention"), "kind", kind.replace("cross", ""), words)
        fields.number(
            _("Layer"), "layer", layer, layers[0], layers[-1], optional=True, nothing=mean,
            help=_("Empty: the mean of all layers."),
        )  # fmt: skip
        if layer is not None:
            fields.number(
                _("Head"), "head", head, 0, n_heads - 1, optional=True, nothing=mean,
                help=_("Empty: the mean of the layer's heads."),
            )  # fmt: skip
    last = len(trace.query_tokens(kind)) - 1
    return kind, vizcore.mean_map(
        trace.map_rows(one, each, [last], kind)
        for one in (layers if layer is None else [layer])
        for each in (range(n_heads) if head is None else [head])
    )


def _head(layers: Sequence[int], n_heads: int, scene: Scene) -> tuple[int | None, int | None]:
    """What was picked, brought to where it can be; None for the mean of all."""
    picked = scene.layer
    if picked is None:
        return None, None
    return min(layers, key=lambda other: abs(other - picked)), within(scene.head, n_heads - 1)


def _looked(
    step: "vizcore.GenerationStep", row: "vizcore.AttentionMap", *, written: bool, is_sink: bool
) -> str:
    weights = pd.Series(row.values[0])
    most = weights.drop(0) if is_sink else weights
    places = [
        f"{code(row.key_tokens[key])} {weight:.2f}"
        for key, weight in most.nlargest(N_LOOKED_AT).items()
    ]
    said = _("When {token} was chosen, the model looked most at {places}")
    if not written:
        said = _("To choose the next token, the model looks most at {places}")
    line = said.format(token=code(step.token), places=" \u2002".join(places))
    if is_sink:
        line += " " + _("(and {weight:.2f} rests on the first token, as if on nothing)").format(
            weight=weights[0]
        )
    return line
