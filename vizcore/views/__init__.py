"""Browser views and figures: AttentionMaps or a trace -> something to look at.

No view knows a model, and nothing in here imports torch, transformers or Streamlit. A browser view
is one ES module, `export default ({ el, data, select }) => cleanup`, which three hosts show alike:
a Streamlit page, a notebook, and a file. For numbers to go on with, take the maps instead.
"""
