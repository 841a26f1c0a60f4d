"""Next token: what the model expects at every position, and how surprised it was."""

import streamlit as st

from app.loading import load_model, run_text
from app.scene import Scene


def show() -> None:
    """Draw the page."""
    scene = Scene.read(st.session_state)
    model = load_model(scene.model)
    trace = run_text(model, scene.text, scene.target)
    st.dataframe(trace.next_tokens())
