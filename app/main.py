"""Headlight's app: page set-up and navigation, nothing else. Start it with `vizcore app`."""

import sys
from pathlib import Path

import streamlit as st

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

st.set_page_config(page_title="Headlight", page_icon=str(vizcore.asset("icon.svg")), layout="wide")
pages = {
    _("Look"): [
        st.Page(
            attention.show,
            title=_("Attention"),
            icon=":material/grid_view:",
            url_path="attention",
            default=True,
        ),
        st.Page(
            inside.show,
            title=_("Inside attention"),
            icon=":material/zoom_in:",
            url_path="inside",
        ),
        st.Page(
            flow.show,
            title=_("Flow"),
            icon=":material/account_tree:",
            url_path="flow",
        ),
        st.Page(
            positions.show,
            title=_("Positions"),
            icon=":material/straighten:",
            url_path="positions",
        ),
    ],
    _("Expect"): [
        st.Page(
            next_token.show,
            title=_("Next token"),
            icon=":material/bar_chart:",
            url_path="next-token",
        ),
        st.Page(
            generate.show,
            title=_("Generate"),
            icon=":material/edit_note:",
            url_path="generate",
        ),
        st.Page(
            translate.show,
            title=_("Translate"),
            icon=":material/translate:",
            url_path="translate",
        ),
        st.Page(
            compare.show,
            title=_("Compare"),
            icon=":material/compare_arrows:",
            url_path="compare",
        ),
        st.Page(
            rescore.show,
            title=_("Rescore"),
            icon=":material/balance:",
            url_path="rescore",
        ),
        st.Page(
            benchmarks.show,
            title=_("Benchmarks"),
            icon=":material/fact_check:",
            url_path="benchmarks",
        ),
    ],
    _("Test"): [
        st.Page(
            what_matters.show,
            title=_("What matters"),
            icon=":material/target:",
            url_path="what-matters",
        ),
        st.Page(
            patch.show,
            title=_("Patch"),
            icon=":material/healing:",
            url_path="patch",
        ),
        st.Page(
            attribute.show,
            title=_("Attribute"),
            icon=":material/format_color_text:",
            url_path="attribute",
        ),
        st.Page(
            information_flow.show,
            title=_("Information flow"),
            icon=":material/conversion_path:",
            url_path="information-flow",
        ),
    ],
    _("Build"): [
        st.Page(
            training.show,
            title=_("Training"),
            icon=":material/trending_down:",
            url_path="training",
        ),
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
