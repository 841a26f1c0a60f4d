"""Attribute: which tokens mattered for what a model expects, by several methods side by side."""

import time
from typing import Any

import pandas as pd
import streamlit as st

import vizcore
from app import fields
from app.loading import TICK, begin, load_model, run_text, work_out
from app.mount import mount
from app.scene import Scene, current, pick, within
from app.texts import _, code, literal

MOST = 150
"""Tokens: of longer texts, taking them away one by one takes minutes."""
N_STEPS = 32
N_RANDOM = 3
PATIENCE = 0.4
"""Seconds that a quick measurement is waited for, so that nothing appears twice."""
ROUGH = 0.1
"""From this share of what it should be on, a sum of integrated gradients is called rough."""
N_NAMED = 3
METHOD = "occlusion"


def show() -> None:
    """Draw the page."""
    scene = current()
    model = load_model(scene.model)
    if not model.has_head:
        st.info(
            _(
                "**{name} does not predict tokens**, so there is nothing to explain. Choose a "
                "model with a language-model head on the left, such as smollm2-135m."
            ).format(name=literal(model.name)),
            icon=":material/info:",
        )
        return
    _look(run_text(model, scene.text, scene.target))


@st.fragment
def _look(trace: "vizcore.Trace") -> None:
    scene = current()
    ids = trace.source_ids if trace.target_ids is None else trace.target_ids
    n_tokens = len(trace.source_ids) + len(trace.target_ids or [])
    with st.container(horizontal=True, vertical_alignment="bottom"):
        target = _target(trace, scene, len(ids))
    if n_tokens > MOST:
        st.info(
            _("This text has {n} tokens. Shorten it to {most}: each is taken away in turn.").format(
                n=n_tokens, most=MOST
            ),
            icon=":material/info:",
        )
        return
    key = (id(trace), target)
    found: tuple[Any, pd.DataFrame] = work_out(
        _("Finding out which tokens mattered"),
        key,
        lambda progress: (
            trace,
            vizcore.attributions(trace, target, n_steps=N_STEPS, progress=progress),
        ),
    )
    table = found[1]
    measuring = _("Taking tokens away, and putting them back")

    def measure(progress: Any) -> Any:
        return trace, vizcore.faithfulness(
            trace, table, target, n_random=N_RANDOM, progress=progress
        )

    job = begin(measuring, key, measure)
    until = time.monotonic() + PATIENCE
    while not job.made.done() and time.monotonic() < until:
        time.sleep(TICK / 2)
    faithful = work_out(measuring, key, measure)[1] if job.made.done() else None
    st.markdown(_verdict(trace, table, faithful))
    view = vizcore.attribution_view(
        table,
        None if faithful is None else faithful.scores,
        selected=table.attrs["position"],
        names=_names(),
        hints=_hints(),
        texts=_view_texts(trace),
    )
    mount(view, key="attribution", on_select=lambda choice: pick(token=choice["token"]))
    if faithful is None:
        _watch(job)
    else:
        _measured(faithful)
    _notes(table)


@st.fragment(run_every=TICK)
def _watch(job: Any) -> None:
    """How far the measurement is; the page can be used meanwhile."""
    if job.made.done():
        st.rerun()
    said = _("Taking tokens away, and putting them back") + " …"
    st.progress(job.fraction or 0.0, text=said)


def _target(trace: "vizcore.Trace", scene: Scene, n_tokens: int) -> "vizcore.AttributionTarget":
    """What is explained, in fields that say so."""
    fields.choice(
        _("What is explained"),
        "explains",
        scene.explains,
        {"": _("One token"), "likelihood": _("The whole text")},
        help=_(
            "One token: why the model expects it. The whole text: what makes it likely as it "
            "stands (the sum of its tokens' log-probabilities)."
        ),
    )
    if scene.explains == "likelihood":
        return vizcore.AttributionTarget(of="likelihood")
    position = within(scene.token, n_tokens - 1)
    is_hidden = trace.model.kind == "encoder"
    fields.number(
        _("Hidden token number") if is_hidden else _("After token number"),
        "token",
        position,
        0,
        n_tokens - 1,
        optional=True,
        nothing=_("the last"),
        help=_("Or click on a token below."),
    )
    _word(_("The word"), "answer", scene.answer, _("the likeliest"))
    _word(_("rather than"), "rather", scene.rather, _("any other"))
    st.button(
        _("Example: *are* rather than *is*"),
        key="attribute_example",
        type="tertiary",
        on_click=_take_example,
    )
    return vizcore.AttributionTarget(scene.answer or None, scene.rather or None, position)


def _word(label: str, name: str, value: str, nothing: str) -> None:
    key = f"field_{name}"
    st.session_state[key] = value
    st.text_input(
        label,
        key=key,
        placeholder=nothing,
        on_change=lambda: pick(**{name: st.session_state[key].strip() or None}),
        width=130,
    )


def _take_example() -> None:
    st.session_state["text"] = "The keys to the cabinet on the left"
    st.session_state["model"] = "smollm2-135m"
    pick(answer="are", rather="is", token=None, explains=None)


def _verdict(
    trace: "vizcore.Trace", table: pd.DataFrame, faithful: "vizcore.Faithfulness | None"
) -> str:
    """What is explained, and what mattered most by the method that is to be trusted most."""
    said = _asked(trace, table)
    method = METHOD if METHOD in set(table["method"]) else table["method"].iloc[0]
    if faithful is not None:
        scores = faithful.scores.set_index("method")
        method = str((scores["insertion"] - scores["deletion"]).drop("random").idxmax())
    its = table[(table["method"] == method) & (table["attribution"] > 0)]
    most = its.nlargest(N_NAMED, "attribution")["token"].tolist()
    if not most:
        return said + " " + _("No token speaks for it.")
    return (
        said
        + " "
        + _("What speaks for it most: {tokens}.").format(tokens=", ".join(map(code, most)))
    )


def _asked(trace: "vizcore.Trace", table: pd.DataFrame) -> str:
    given = table.attrs
    if given["measure"] == "likelihood":
        return _("**Why is this text as likely as it is?** {value:.1f} nats.").format(
            value=given["value"]
        )
    model = trace.model
    token = code(model.labels([given["token"]])[0])
    if given["against"] is not None:
        return _("**Why {token} rather than {other}?** It is {times} as likely.").format(
            token=token,
            other=code(model.labels([given["against"]])[0]),
            times=_times(given["value"]),
        )
    return _("**Why {token}?** {name} gives it {share:.1%}.").format(
        token=token, name=literal(model.name), share=_probability(given["value"])
    )


def _probability(nats: float) -> float:
    return float(pd.Series([nats]).transform("exp").iloc[0])


def _times(nats: float) -> str:
    times = _probability(nats)
    return _("{n:,.1f} times").format(n=times) if times < 1e6 else f"10^{nats / 2.302585:.0f}"


def _measured(faithful: "vizcore.Faithfulness") -> None:
    curves, numbers = st.columns(2, gap="small")
    names = {**_names(), "random": _("Random order")}
    with curves:
        figure = vizcore.faithfulness_curves(
            faithful.curves,
            names=names,
            dark=st.context.theme.type == "dark",
            texts=_curve_texts(faithful.measure),
        ).figure
        st.plotly_chart(figure, key="faithfulness", config={"displaylogo": False})
    number = st.column_config.NumberColumn
    with numbers:
        st.dataframe(
            faithful.scores.assign(method=faithful.scores["method"].map(names)),
            hide_index=True,
            height="content",
            row_height=31,
            column_config={
                "method": st.column_config.TextColumn(_("Method")),
                "comprehensiveness": number(
                    _("Compr."),
                    width=70,
                    format="%.2f",
                    help=_(
                        "Comprehensiveness (DeYoung et al. 2020): what the probability loses "
                        "without the tokens that the method names. More is better."
                    ),
                ),
                "sufficiency": number(
                    _("Suff."),
                    width=70,
                    format="%.2f",
                    help=_("Sufficiency: what it loses with those tokens alone. Less is better."),
                ),
                "deletion": number(
                    _("Deletion"),
                    width=70,
                    format="%.2f",
                    help=_("Area under the curve as they are taken away. Less is better."),
                ),
                "insertion": number(
                    _("Insertion"),
                    width=70,
                    format="%.2f",
                    help=_("Area under the curve as they are put back. More is better."),
                ),
            },
        )


def _notes(table: pd.DataFrame) -> None:
    """What stands for a token, what is kept, and what integrated gradients lack."""
    given = table.attrs
    words = {
        "mask": _("A token that is taken away becomes the mask token."),
        "mean": _("A token that is taken away gets the mean of all tokens' vectors."),
        "zero": _("A token that is taken away gets a vector of zeros."),
    }
    said = [words[given["replaced_by"]]]
    if table["attribution"].isna().iloc[0] and given["replaced_by"] != "mask":
        said.append(
            _("The first token is kept: heads park there what they don't need (attention sink).")
        )
    lacking = given["completeness_error"]
    if lacking is not None:
        whole = given["value"] - given["replaced_value"]
        said.append(
            _(
                "Integrated gradients should add up to {whole:.2f} nats and miss that by {by:.2f}."
            ).format(whole=whole, by=abs(lacking))
        )
        if abs(lacking) > ROUGH * abs(whole):
            said.append(_("**That is much: this text is not explained by them.**"))
    said += [literal(reason) for reason in given["left_out"].values()]
    st.caption(" ".join(said))


def _names() -> dict[str, str]:
    return {
        "occlusion": _("Occlusion"),
        "integrated_gradients": _("Integrated gradients"),
        "gradient_x_input": _("Gradient × input"),
        "attention_x_gradient": _("Attention × gradient"),
        "rollout": _("Attention rollout"),
    }


def _hints() -> dict[str, str]:
    return {
        "occlusion": _("What is lost if this one token is taken away."),
        "integrated_gradients": _(
            "Gradients along the whole way from nothing to the text (Sundararajan et al. 2017)."
        ),
        "gradient_x_input": _("What the smallest change of the token's vector would do."),
        "attention_x_gradient": _(
            "Attention that speaks for the answer, followed through layers (Chefer et al. 2021)."
        ),
        "rollout": _(
            "Attention alone, followed through the layers (Abnar & Zuidema 2020): the same for "
            "every answer."
        ),
    }


def _view_texts(trace: "vizcore.Trace") -> dict[str, str]:
    return {
        "for": _("speaks for it"),
        "against": _("speaks against it"),
        "trust": _("faithfulness, 0 to 1 (insertion − deletion); the mark is a random order"),
        "measuring": _("measuring how faithful it is …"),
        "best": _("most faithful"),
        "worse": _("no better than chance"),
        "label": _("The text by {method}. Arrow keys move, Enter picks a token."),
        "hint": (
            _("Point at a token to read its numbers. Click on one to ask what stands there.")
            if trace.model.kind == "encoder"
            else _("Point at a token to read its numbers. Click on one to ask what comes after it.")
        ),
        "without": _("it is kept as it is, or cannot have mattered"),
        "source": _("source"),
        "target": _("target"),
    }


def _curve_texts(measure: str) -> dict[str, str]:
    return {
        "deletion": _("Taken away: low is good"),
        "insertion": _("Put back: high is good"),
        "taken": _("tokens taken away"),
        "given": _("tokens put back"),
        "probability": (_("probability a token") if measure == "likelihood" else _("probability")),
        "random": _("Random order"),
    }
