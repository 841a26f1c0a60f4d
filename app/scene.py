"""`Scene`: what the app shows, as one value.

Everything on a page follows from its scene, and the scene is the address. Model and texts are the
side bar's widgets, which Streamlit itself keeps there (`bind="query-params"`). What is picked on a
page (a head, a token) belongs to no widget, since Streamlit drops the address of a widget that is
not shown; so `pick` writes it there, under the same kind of key. Streamlit empties the address of
all that on the way to another page, and `bring_along` puts it back.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self
from urllib.parse import urlencode

import streamlit as st

CHOICES = {
    "kind": ("decoder", "encoder", "cross"),
    "overview": ("here", "general"),
    "seen": ("lines", "text", "numbers"),
    "of": ("norm", "layer", "rollout"),
    "unit": ("word",),
    "scale": ("log",),
    "sink": ("grey", "renormalise"),
    "expects": ("layers", "sampling"),
    "measure": ("per_token", "per_word", "per_character"),
    "without": ("scaling", "mask", "scaling-mask"),
    "ahead": ("tree",),
    "explains": ("likelihood",),
    "lists": ("translations", "own"),
    "asked": ("files", "kept"),
    "items": ("wrong", "apart"),
    "matters": ("map", "edges"),
    "patched": ("attention", "feed-forward", "head", "pattern"),
}
"""What is one of some words; anything else in an address counts as not picked."""
LONGEST_LINK = 6000
"""Characters of an address that browsers, proxies and chat programs pass on unharmed."""
LONGEST_WORD = 40
"""Characters of a word that is asked about."""
LOOKS = ("overview", "seen", "of", "unit", "scale", "sink")
"""Which heads are shown how."""
BROUGHT_ALONG = ("kind", "layer", "head", "token", "minus_layer", "minus_head", *LOOKS)
"""What means the same on another page."""
_IDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})*")
_FOURS = re.compile(r"[0-9]{1,5}(?:-[0-9]{1,5}){3}(?:\.[0-9]{1,5}(?:-[0-9]{1,5}){3})*")
_PAIRS = re.compile(r"[0-9]{1,9}-[0-9]{1,9}(?:\.[0-9]{1,9}-[0-9]{1,9})*")


@dataclass(frozen=True)
class Scene:
    """What is looked at. The fields are the keys in the address.

    Args:
        model: a catalogue name, a Hub id or a folder.
        text: what the model reads.
        target: what the decoder of an encoder-decoder reads; "" lets it write by itself.
        kind: of attention: "decoder", "encoder" or "cross"; "" for the model's main kind.
        layer, head: the head that is open, counted from 0; None if none was picked.
        minus_layer, minus_head: another head, whose map is taken from that of the open one; None
            for the same layer or head, both None for no comparison.
        token: the position that is looked at closely, counted from 0; None if none was picked.
        overview: of all heads: their scores on this text, "here", or in "general"; "" their maps.
        seen: how the open head is seen: "lines", "text" or "numbers"; "" as a map.
        of: what is shown of it: "norm", "layer" or "rollout"; "" its weights.
        unit: of rows and columns: "word"; "" for tokens.
        scale: of colours: "log"; "" for linear.
        sink: what becomes of the first token: "grey" or "renormalise"; "" if it stays.
        step: of the page Inside attention, such as "softmax"; "" for the first.
        without: what is left out there: "scaling", "mask" or "scaling-mask"; "" for nothing.
        snapshot: of the page Training, the step of a snapshot; None for the last.
        prefix: of the page Translate, the ids that the target has to begin with: "1.34.7".
        beams: there, how many beginnings are kept while it writes; None for one.
        encoding: of the page Positions, which of the model's encodings; None for the first.
        dims: there, the two dimensions of a table that are drawn as waves: "0.40".
        pair, place: there, the pair that turns, and the position it has turned to.
        span: there, how many positions are shown.
        expects: of the page Next token: what each of the "layers" would say, or what "sampling"
            does; "" for the table.
        temperature, top_k, top_p, min_p: there; all but top_k in hundredths; None for no change.
        line: of the page Compare, the sentence that is looked at, counted from 0.
        beside: there, a second model; "" for none.
        measure: there, what log-likelihood is divided by: "per_token", …; "" for nothing.
        written: of the page Generate, how many tokens are written; None for a few.
        forced: there, for some steps the id of the token that was forced: "2-345.7-99".
        seed: there, which luck tokens are drawn with; None for 0.
        ahead: there, what is seen of what could come: "tree" for a search; "" for alternatives.
        lists: of the page Rescore, which lists: "translations" or "own"; "" for the recorded pair.
        weight: there, of the language model, in hundredths; None for the one it opens with.
        asked: of the page Benchmarks, what: uploaded "files", or what was "kept" of another run; ""
            for the example.
        items: there, which items are listed: "wrong", or those that two models answer "apart".
        group, item: of the page Benchmarks, the group and the item that are looked at, from 0; of
            the page Rescore, `group` is the list.
        off: of the page What matters, heads that are switched off: layer and head as in "3-2.5-1".
        cut: there, edges that are cut: layer, head, query and key as in "3-2-7-1".
        matters: there, what is seen of the head that is open: its "map" or its "edges"; "" for what
            the model expects with and without it.
        patched: of the page Patch, what is put from one run into the other: "attention", …; "" for
            the residual stream.
        explains: of the page Attribute: the "likelihood" of the whole text; "" for one token.
        answer: there, the word that is explained; "" for the likeliest.
        rather: there, the word that it is explained against; "" for none.
    """

    model: str
    text: str
    target: str = ""
    kind: str = ""
    layer: int | None = None
    head: int | None = None
    minus_layer: int | None = None
    minus_head: int | None = None
    token: int | None = None
    overview: str = ""
    seen: str = ""
    of: str = ""
    unit: str = ""
    scale: str = ""
    sink: str = ""
    step: str = ""
    without: str = ""
    snapshot: int | None = None
    prefix: str = ""
    beams: int | None = None
    encoding: int | None = None
    dims: str = ""
    pair: int | None = None
    place: int | None = None
    span: int | None = None
    expects: str = ""
    temperature: int | None = None
    top_k: int | None = None
    top_p: int | None = None
    min_p: int | None = None
    line: int | None = None
    beside: str = ""
    measure: str = ""
    written: int | None = None
    forced: str = ""
    seed: int | None = None
    ahead: str = ""
    lists: str = ""
    weight: int | None = None
    asked: str = ""
    items: str = ""
    off: str = ""
    cut: str = ""
    matters: str = ""
    patched: str = ""
    group: int | None = None
    item: int | None = None
    explains: str = ""
    answer: str = ""
    rather: str = ""

    @classmethod
    def read(cls, state: Mapping[str, Any], address: Mapping[str, str]) -> Self:
        """The scene that the side bar's values and the picks in the address make.

        Whatever in an address is no number, or no kind of attention, counts as not picked.
        """
        step, prefix, dims = (address.get(key, "") for key in ("step", "prefix", "dims"))
        forced, off, cut = (address.get(key, "") for key in ("forced", "off", "cut"))
        chosen = {
            key: address.get(key, "") if address.get(key) in words else ""
            for key, words in CHOICES.items()
        }
        return cls(
            model=state.get("model") or "",
            text=state.get("text") or "",
            target=state.get("target") or "",
            layer=_number(address.get("layer")),
            head=_number(address.get("head")),
            minus_layer=_number(address.get("minus_layer")),
            minus_head=_number(address.get("minus_head")),
            token=_number(address.get("token")),
            step=step if step.isalpha() and len(step) < 20 else "",
            snapshot=_number(address.get("snapshot")),
            prefix=prefix if _IDS.fullmatch(prefix) else "",
            beams=_number(address.get("beams")),
            encoding=_number(address.get("encoding")),
            dims=dims if _IDS.fullmatch(dims) else "",
            pair=_number(address.get("pair")),
            place=_number(address.get("place")),
            span=_number(address.get("span")),
            temperature=_number(address.get("temperature")),
            top_k=_number(address.get("top_k")),
            top_p=_number(address.get("top_p")),
            min_p=_number(address.get("min_p")),
            line=_number(address.get("line")),
            beside=address.get("beside", ""),
            written=_number(address.get("written")),
            forced=forced if _PAIRS.fullmatch(forced) else "",
            seed=_number(address.get("seed")),
            off=off if _PAIRS.fullmatch(off) else "",
            cut=cut if _FOURS.fullmatch(cut) else "",
            weight=_number(address.get("weight")),
            group=_number(address.get("group")),
            item=_number(address.get("item")),
            answer=address.get("answer", "")[:LONGEST_WORD],
            rather=address.get("rather", "")[:LONGEST_WORD],
            **chosen,
        )

    @property
    def prefix_ids(self) -> list[int]:
        """The ids of the prefix."""
        return [int(one) for one in self.prefix.split(".") if one]

    @property
    def forced_ids(self) -> dict[int, int]:
        """For each step at which a token is forced, its id."""
        return dict(_numbers(self.forced))

    @property
    def heads_off(self) -> list[tuple[int, ...]]:
        """The heads that are switched off: layer and head."""
        return _numbers(self.off)

    @property
    def edges_cut(self) -> list[tuple[int, ...]]:
        """The edges that are cut: layer, head, query and key."""
        return _numbers(self.cut)

    def link(self) -> str:
        """The part of an address behind the question mark that brings this scene back."""
        given = {key: value for key, value in asdict(self).items() if value not in (None, "")}
        return urlencode(given)

    @property
    def fits_a_link(self) -> bool:
        """Whether the address is short enough to be passed on."""
        return len(self.link()) <= LONGEST_LINK


def current() -> Scene:
    """The scene of this session."""
    return Scene.read(st.session_state, st.query_params)


def pick(**picks: int | str | None) -> None:
    """Put what was picked into the address; None takes it out."""
    for key, value in picks.items():
        if value is None and key in st.query_params:
            del st.query_params[key]
    st.query_params.update({key: str(value) for key, value in picks.items() if value is not None})
    _remember()


def bring_along(page: str) -> None:
    """On another page than before, pick what was picked there; call it before a page is shown."""
    state = st.session_state
    came_from, picks = state.get("page", page), state.get("picks", {})
    if came_from != page and not any(key in st.query_params for key in BROUGHT_ALONG):
        pick(**picks)
    _remember()
    state["page"] = page


def _remember() -> None:
    """Keep what is picked now for the next page."""
    address = st.query_params
    st.session_state["picks"] = {key: address[key] for key in BROUGHT_ALONG if key in address}


def within(picked: int | None, last: int) -> int | None:
    """A position that was picked in another text, brought back to where it can be."""
    return None if picked is None else min(picked, last)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() and len(text) < 10 else None


def _numbers(text: str) -> list[tuple[int, ...]]:
    """Of "3-2.5-1" (3, 2) and (5, 1)."""
    return [tuple(map(int, one.split("-"))) for one in text.split(".") if one]
