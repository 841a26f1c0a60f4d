"""The head that is open: as a map, as lines, as running text, or number by number.

What is shown of it (its weights, the lengths of what they move, a mean, a rollout; pieces or words)
is chosen in one place for all of these, and can be had as a table or as a page of its own.
"""

from collections.abc import Callable
from typing import Any

import streamlit as st

import vizcore
from app import fields
from app.loading import is_long
from app.long_map import show as show_long_map
from app.mount import mount, mount_map
from app.scene import Scene, current, pick
from app.texts import _, literal

MOST_NUMBERS = 200_000
"""Bytes of queries and keys that are sent at once; those of other tokens follow when asked for."""
HINT_HEIGHT = 26
"""Of the line above a map that says where a token looks; the other views say that themselves."""
MAP_ROOM = 340
"""Pixels that the cells of a map have beside the grid of all heads: labels are thinned for that."""
MOST_LINES = 1000
"""Tokens of a text between which lines are drawn."""


def choose(trace: "vizcore.Trace", kind: str, layer: int, head: int) -> None:
    """The ways to see the head, what is seen of it, and how to have it."""
    scene = current()
    with st.container(horizontal=True, vertical_alignment="center"):
        fields.choice(
            _("See it as"),
            "seen",
            scene.seen,
            {
                "": _("Map"),
                "lines": _("Lines"),
                "text": _("Text"),
                "numbers": _("Numbers"),
            },
            hidden=True,
        )
        changed = [one for one in (scene.of, scene.unit, scene.scale, scene.sink) if one]
        changed += ["minus"] * (compared_with(trace, kind, layer, head, scene) is not None)
        label = _("Options ({n})").format(n=len(changed)) if changed else _("Options")
        with st.popover(label, icon=":material/tune:"):
            _options(scene)
            _comparison(trace, kind, scene)
            _take_away(trace, kind, layer, head)


def show(
    trace: "vizcore.Trace", kind: str, layer: int, head: int, row: int | None, height: int
) -> None:
    """The head in the chosen way.

    Args:
        trace: what was run.
        kind: of attention.
        layer, head: what is open.
        row: the query token that is looked at closely, if one was picked.
        height: in pixels.
    """
    scene = current()
    if scene.of == "norm" and trace.model.capture == "eager":
        st.info(
            _(
                "This network gives its weights, but not the values that they are for. Choose "
                "another thing to see under *Options*."
            ),
            icon=":material/info:",
        )
        return
    n_tokens = max(len(trace.query_tokens(kind)), len(trace.key_tokens(kind)))
    compares = compared_with(trace, kind, layer, head, scene) is not None
    if compares and scene.seen == "numbers":
        st.info(
            _("Numbers are those of one head. See a comparison as a map, as lines or as text."),
            icon=":material/info:",
        )
    elif compares and is_long(trace, kind):
        hint = _("This text has {n} tokens, too many to compare two heads.")
        st.info(hint.format(n=n_tokens), icon=":material/info:")
    elif scene.seen == "numbers":
        _show_numbers(trace, kind, layer, head, row, height)
    elif scene.seen == "lines" and n_tokens > MOST_LINES:
        hint = _("This text has {n} tokens, too many for lines. See it as a map or as text.")
        st.info(hint.format(n=n_tokens), icon=":material/info:")
    elif scene.seen == "lines":
        _show_lines(trace, kind, layer, head, row, height)
    elif scene.seen == "text":
        _show_text(chosen_map(trace, kind, layer, head, scene), row, height)
    elif is_long(trace, kind):
        show_long_map(trace, layer, head, kind, height=height)
    else:
        _show_map(chosen_map(trace, kind, layer, head, scene), row, height)


def chosen_map(
    trace: "vizcore.Trace", kind: str, layer: int, head: int, scene: Scene
) -> "vizcore.AttentionMap":
    """What the options make of a head: the map that is shown, and that can be had."""
    one = _seen(trace, kind, layer, head, scene)
    other = compared_with(trace, kind, layer, head, scene)
    return one if other is None else vizcore.difference(one, _seen(trace, kind, *other, scene))


def compared_with(
    trace: "vizcore.Trace", kind: str, layer: int, head: int, scene: Scene
) -> tuple[int, int] | None:
    """The head whose map is taken from that of the open one; None: none is."""
    if scene.minus_layer is None and scene.minus_head is None:
        return None
    wanted = layer if scene.minus_layer is None else scene.minus_layer
    nearest = min(trace.layers(kind), key=lambda one: abs(one - wanted))
    other = head if scene.minus_head is None else scene.minus_head
    return nearest, min(other, trace.n_heads(kind) - 1)


def _seen(
    trace: "vizcore.Trace", kind: str, layer: int, head: int, scene: Scene
) -> "vizcore.AttentionMap":
    """What is seen of one head, in tokens or words."""
    made: dict[str, Callable[[], vizcore.AttentionMap]] = {
        "norm": lambda: vizcore.weighted_norms(trace, layer, head, kind, normalise=True),
        "layer": lambda: vizcore.mean_map(trace, kind, layer=layer),
        "rollout": lambda: vizcore.rollout(trace, kind, layer=layer),
    }
    one = made.get(scene.of, lambda: trace.map(layer, head, kind))()
    return vizcore.by_words(one) if scene.unit == "word" else one


def _options(scene: Scene) -> None:
    fields.choice(
        _("What is shown"),
        "of",
        scene.of,
        {
            "": _("This head's weights"),
            "norm": _("Weights × length of what they move"),
            "layer": _("Mean of this layer's heads"),
            "rollout": _("Rollout: from the text up to this layer"),
        },
        as_list=True,
        help=_(
            "A weight says where a head looks, not how much it takes from there: the values may "
            "be short. A rollout follows attention through all layers below (half of each layer "
            "is what was there before)."
        ),
    )
    fields.choice(_("Rows and columns"), "unit", scene.unit, {"": _("Tokens"), "word": _("Words")})
    fields.choice(_("Colours"), "scale", scene.scale, {"": _("Linear"), "log": _("Logarithmic")})
    fields.choice(
        _("First token"),
        "sink",
        scene.sink,
        {"": _("As it is"), "grey": _("Greyed out"), "renormalise": _("Taken out")},
        help=_(
            "Many heads park on the first token what they do not need. Taken out, the rest of each "
            "row is scaled up to sum to 1."
        ),
    )


def _comparison(trace: "vizcore.Trace", kind: str, scene: Scene) -> None:
    """Fields for another head, which is taken from the open one."""
    layers = trace.layers(kind)
    with st.container(horizontal=True):
        fields.number(
            _("Minus layer"),
            "minus_layer",
            scene.minus_layer,
            layers[0],
            layers[-1],
            optional=True,
            nothing=_("none"),
            help=_(
                "The map of another head is taken from this one, to see where they differ. A layer "
                "alone means the same head there, a head alone the same layer."
            ),
        )
        last = trace.n_heads(kind) - 1
        fields.number(
            _("and head"), "minus_head", scene.minus_head, 0, last, optional=True, nothing=_("none")
        )


def _take_away(trace: "vizcore.Trace", kind: str, layer: int, head: int) -> None:
    """What is shown, as a table and as a page."""
    if is_long(trace, kind):
        return
    scene = current()
    made: dict[str, Callable[[], str]] = {
        "csv": lambda: chosen_map(trace, kind, layer, head, scene).to_frame().to_csv(index=False),
        "html": lambda: vizcore.heatmap(
            chosen_map(trace, kind, layer, head, scene),
            scale=scene.scale or "linear",
            sink=_sink(scene) or "keep",
        ).to_html(),
    }
    labels = {"csv": _("Table (CSV)"), "html": _("Page (HTML)")}
    with st.container(horizontal=True):
        for ending, make in made.items():
            st.download_button(
                labels[ending],
                make,
                file_name=f"{kind}-layer{layer}-head{head}.{ending}",
                mime=f"text/{ending}",
                icon=":material/download:",
                on_click="ignore",
            )


def _sink(scene: Scene) -> Any:
    """What becomes of the first token, None for what is usual: of a difference it stays."""
    compares = scene.minus_layer is not None or scene.minus_head is not None
    return "keep" if compares else scene.sink or None


def _show_map(one: "vizcore.AttentionMap", row: int | None, height: int) -> None:
    scene = current()
    by_word = scene.unit == "word"
    figure = vizcore.heatmap(
        one,
        row=None if by_word else row,
        scale=scene.scale or "linear",
        sink=_sink(scene) or "keep",
        dark=st.context.theme.type == "dark",
        height=height - HINT_HEIGHT,
        room=MAP_ROOM,
    ).figure
    figure.update_layout(title=None, margin_t=10)
    alt = _("Attention map of {head}").format(head=one.name)
    mount_map(figure, key="map", alt=alt, on_select=_ignore if by_word else _pick_row)


def _show_lines(
    trace: "vizcore.Trace", kind: str, layer: int, head: int, row: int | None, height: int
) -> None:
    scene = current()
    if compared_with(trace, kind, layer, head, scene) is not None:
        one = chosen_map(trace, kind, layer, head, scene)
        view = vizcore.head_view(one, sink="keep", height=height)
        mount(view, key="lines_compared", on_select=_ignore)
        return
    heads = [trace.map(layer, other, kind) for other in range(trace.n_heads(kind))]
    if scene.of == "norm":
        heads = [
            vizcore.weighted_norms(trace, layer, other, kind, normalise=True)
            for other in range(trace.n_heads(kind))
        ]
    by_word = scene.unit == "word"
    view = vizcore.head_view(
        [vizcore.by_words(one) for one in heads] if by_word else heads,
        layer,
        [head],
        kind=kind,
        sink=scene.sink or None,
        selected=None if row is None or by_word else ("query", row),
        height=height,
    )
    mount(view, key=f"lines_{kind}_{layer}", on_select=_pick_line)


def _show_text(one: "vizcore.AttentionMap", row: int | None, height: int) -> None:
    scene = current()
    by_word = scene.unit == "word"
    view = vizcore.text_view(
        one,
        selected=None if by_word else row,
        sink=_sink(scene),
        scale=scene.scale or "linear",
        height=height,
    )
    mount(view, key="text_of_head", on_select=_ignore if by_word else _pick_in_text)


def _show_numbers(
    trace: "vizcore.Trace", kind: str, layer: int, head: int, row: int | None, height: int
) -> None:
    try:
        view = vizcore.neuron_view(
            trace,
            layer,
            head,
            -1 if row is None else row,
            kind=kind,
            answers=True,
            max_bytes=MOST_NUMBERS,
            height=height,
        )
    except vizcore.CaptureError as error:
        st.info(literal(str(error)), icon=":material/info:")
        return
    mount(view, key="numbers", on_select=lambda choice: pick(token=choice["token"]))


def _pick_row(choice: dict[str, Any]) -> None:
    """A click on the row that is picked puts it back."""
    row = int(choice["row"])
    pick(token=None if current().token == row else row)


def _pick_line(choice: dict[str, Any]) -> None:
    if len(choice["heads"]) == 1:
        pick(head=choice["heads"][0])
    if choice["side"] != "key":
        pick(token=choice["token"])


def _pick_in_text(choice: dict[str, Any]) -> None:
    if choice["side"] != "key":
        pick(token=choice["token"])


def _ignore(choice: dict[str, Any]) -> None:
    """Words have no place in the scene: a position there is a token's."""
