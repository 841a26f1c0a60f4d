"""The Streamlit front end of Headlight: it shows what vizcore computes, and computes nothing."""
