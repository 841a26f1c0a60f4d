"""Headlight's app: page set-up and navigation, nothing else. Start it with `vizcore app`."""

import sys
from collections.abc import Callable
from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage

import vizcore

# Streamlit puts this folder on the path, not the one above it.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from app import scene, sidebar  # noqa: E402
from app.app_pages import (  # noqa: E402
    attention,
    attribute,
    benchmarks,
    compare,
    flow,
    generate,
    information_flow,
    inside,
    next_token,
    patch,
    positions,
    rescore,
    training,
    translate,
    what_matters,
)
from app.texts import _  # noqa: E402


def _page(
    show: Callable[[], None], title: str, icon: str, path: str, *, default: bool = False
) -> StreamlitPage:
    """A page of the navigation; its icon is one of Material's."""
    return st.Page(show, title=title, icon=f":material/{icon}:", url_path=path, default=default)


st.set_page_config(page_title="Headlight", page_icon=str(vizcore.asset("icon.svg")), layout="wide")
pages = {
    _("Look"): [
        _page(attention.show, _("Attention"), "grid_view", "attention", default=True),
        _page(inside.show, _("Inside attention"), "zoom_in", "inside"),
        _page(flow.show, _("Flow"), "account_tree", "flow"),
        _page(positions.show, _("Positions"), "straighten", "positions"),
    ],
    _("Expect"): [
        _page(next_token.show, _("Next token"), "bar_chart", "next-token"),
        _page(generate.show, _("Generate"), "edit_note", "generate"),
        _page(translate.show, _("Translate"), "translate", "translate"),
        _page(compare.show, _("Compare"), "compare_arrows", "compare"),
        _page(rescore.show, _("Rescore"), "balance", "rescore"),
        _page(benchmarks.show, _("Benchmarks"), "fact_check", "benchmarks"),
    ],
    _("Test"): [
        _page(what_matters.show, _("What matters"), "target", "what-matters"),
        _page(patch.show, _("Patch"), "healing", "patch"),
        _page(attribute.show, _("Attribute"), "format_color_text", "attribute"),
        _page(information_flow.show, _("Information flow"), "conversion_path", "information-flow"),
    ],
    _("Build"): [
        _page(training.show, _("Training"), "trending_down", "training"),
    ],
}
page = st.navigation(pages, position="top")
st.session_state["pages"] = {
    one.url_path or "attention": one for group in pages.values() for one in group
}
st.html(Path(__file__).with_name("style.css"))
scene.bring_along(page.url_path)
sidebar.choose()
page.run()
