"""Benchmarks: which items a model gets right, or two models, and every single one of them."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, cast

import pandas as pd
import streamlit as st

import vizcore
from app import benchmark_items, benchmark_runs, fields
from app.loading import load_model
from app.mount import mount_map, plotly_itself
from app.scene import Scene, current, pick
from app.texts import _, literal

EXAMPLE = "sixty-pairs.jsonl"
TICK = 0.5
"""Seconds between two looks at how far a run is."""
SAMPLES = {None: _("all"), 100: "100", 300: "300"}


def show() -> None:
    """Draw the page."""
    page, plotly = st.container(), st.container()
    with plotly:
        plotly_itself()
    with page:
        scene = current()
        with st.container(horizontal=True, vertical_alignment="bottom"):
            fields.choice(
                _("What is asked"),
                "asked",
                scene.asked,
                {
                    "": _("Sixty pairs"),
                    "files": _("Your files"),
                    "kept": _("Kept results"),
                },
                hidden=True,
            )
            if scene.asked != "kept":
                _other_model(scene)
        if scene.asked == "kept":
            _kept()
            return
        asked = _asked(scene)
        if asked is None:
            return
        models = [load_model(name) for name in dict.fromkeys([scene.model, scene.beside]) if name]
        unable = [one for one in models if asked.method != "probe" and not one.has_head]
        if unable:
            st.info(_cannot(unable[0]), icon=":material/info:")
            return
        _watch(models, asked)


def _cannot(model: "vizcore.Model") -> str:
    return _(
        "**{name} does not say how likely a sentence is**: it has no language-model head. Choose "
        "another model, or for files with labels a probe."
    ).format(name=literal(model.name))


def _other_model(scene: Scene) -> None:
    names = [entry.name for entry in vizcore.entries() if entry.name != scene.model]
    key = "field_beside"
    st.session_state[key] = scene.beside if scene.beside in names else None
    st.selectbox(
        _("A second model"),
        names,
        index=None,
        key=key,
        placeholder=_("A second model"),
        label_visibility="collapsed",
        on_change=lambda: pick(beside=st.session_state[key]),
        width=200,
    )


def _asked(scene: Scene) -> benchmark_runs.Asked | None:
    """What is to be run; what is wrong with a file is said in words."""
    if not scene.asked:
        content = vizcore.asset(f"benchmarks/{EXAMPLE}").read_bytes()
        return benchmark_runs.Asked((vizcore.parse_benchmark(content, EXAMPLE),))
    files, settings = st.columns([3, 2], gap="medium")
    with files:
        uploaded = st.file_uploader(
            _("Benchmark files: BLiMP's .jsonl, GLUE's .tsv, or tables of your own"),
            ["jsonl", "tsv", "csv"],
            accept_multiple_files=True,
            key="benchmark_files",
            help=_("Your own: columns good and bad (minimal pairs), or text and label."),
        )
    with settings:
        sample = st.segmented_control(
            _("Items of each file"),
            list(SAMPLES),
            default=100,
            format_func=SAMPLES.__getitem__,
            key="benchmark_sample",
            help=_("Some chosen by chance are soon done; always the same ones."),
        )
    if not uploaded:
        st.info(
            _("Upload a file. Every answer is kept, so a run can be stopped and taken up again."),
            icon=":material/info:",
        )
        return None
    try:
        found = [_sampled(file, sample) for file in uploaded]
        with settings:
            method, train = _method(found)
    except vizcore.VizcoreError as error:
        st.error(literal(str(error)), icon=":material/error:")
        return None
    if method in ("likelihood", "probe") and train is None:
        st.info(_("Upload the labelled items to learn from, too."), icon=":material/info:")
        return None
    return benchmark_runs.Asked(tuple(found), method, train, sample)


def _sampled(file: Any, sample: int | None) -> "vizcore.Benchmark":
    found = vizcore.parse_benchmark(file.getvalue(), file.name, skip_malformed=True)
    if len(found.malformed):
        row = found.malformed.iloc[0]
        st.warning(
            _("{n} rows of {name} are left out. Line {line} {problem}.").format(
                n=len(found.malformed),
                name=literal(file.name),
                line=row["line"],
                problem=literal(row["problem"]),
            )
        )
    return found if sample is None else found.sample(sample)


def _method(
    found: "list[vizcore.Benchmark]",
) -> "tuple[Literal['words', 'likelihood', 'probe'] | None, vizcore.Benchmark | None]":
    """How labels are got out of a model; of minimal pairs there is nothing to choose."""
    if found[0].has_pairs:
        return None, None
    words = {"words": _("Words"), "likelihood": _("Likelihood"), "probe": _("Probe")}
    method = st.segmented_control(
        _("How it answers"),
        list(words),
        default="words",
        format_func=words.__getitem__,
        required=True,
        key="benchmark_method",
        help=_(
            "Words: the label whose word makes a prompt likeliest. Likelihood: a threshold on how "
            "likely the sentence is. Probe: a linear model on each layer's vectors."
        ),
    )
    if method == "words":
        return "words", None
    file = st.file_uploader(_("To learn from"), ["jsonl", "tsv", "csv"], key="benchmark_train")
    train = None if file is None else vizcore.parse_benchmark(file.getvalue(), file.name)
    return cast("Literal['likelihood', 'probe']", method), train


def _kept() -> None:
    """Results that somebody brings along as Parquet, of one model or two."""
    files = st.file_uploader(
        _("Results as Parquet, of one model or two on the same items"),
        ["parquet"],
        accept_multiple_files=True,
        key="benchmark_results",
    )
    if not files:
        st.info(
            _("Upload what this page or `vizcore benchmark --out` has kept."),
            icon=":material/info:",
        )
        return
    found = []
    with TemporaryDirectory() as folder:
        for number, file in enumerate(files[:2]):
            path = Path(folder) / f"{number}.parquet"
            path.write_bytes(file.getvalue())
            try:
                found.append(vizcore.read_evaluation(path))
            except vizcore.VizcoreError as error:
                said = str(error).replace(str(path), file.name)
                st.error(literal(said), icon=":material/error:")
                return
    _look(found, [])


def _watch(models: "list[vizcore.Model]", asked: benchmark_runs.Asked) -> None:
    paths = tuple(asked.path(model) for model in models)
    run = benchmark_runs.find(paths)
    if run is not None and not run.ended:
        _progress(models, asked, paths)
        return
    found = [benchmark_runs.results(path) for path in paths]
    done = all(one is not None and one.complete for one in found)
    names = _(" and ").join(literal(model.name) for model in models)
    with st.container(horizontal=True, vertical_alignment="center"):
        if not done:
            st.button(
                _("Go on") if any(found) else _("Run"),
                key="run",
                type="primary",
                on_click=benchmark_runs.start,
                args=(models, asked),
            )
            st.markdown(
                _("{n:,} items for {names}").format(
                    n=sum(len(b.items) for b in asked.benchmarks), names=names
                )
            )
        for one, path in zip(found, paths, strict=True):
            if one is not None and one.complete:
                st.download_button(
                    _("{name} as Parquet").format(name=one.settings["model"]),
                    path.read_bytes(),
                    f"{one.settings['model']}.parquet",
                    key=f"download_{path.name}",
                    icon=":material/download:",
                    type="tertiary",
                )
    if run is not None and run.error:
        st.error(literal(run.error), icon=":material/error:")
    elif not done and any(found):
        st.info(
            _("Not all is done. What is kept is shown below."),
            icon=":material/info:",
        )
    shown = [one for one in found if one is not None]
    if shown:
        _look(shown, models)
    else:
        st.markdown(
            _(
                "A minimal pair is a good sentence and a bad one that differs in little; the model "
                "is right if it finds the good one likelier. Nothing is trained for it."
            )
        )


@st.fragment(run_every=TICK)
def _progress(
    models: "list[vizcore.Model]", asked: benchmark_runs.Asked, paths: tuple[Path, ...]
) -> None:
    """How far a run is, and what it has found; the page can be used meanwhile."""
    run = benchmark_runs.find(paths)
    if run is None or run.ended:
        st.rerun()
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        stopping = not run.wanted.is_set()
        st.button(
            _("Stop"), key="stop", on_click=run.stop, disabled=stopping, icon=":material/stop:"
        )
        st.progress(
            min(1.0, run.n_done / max(1, run.n_items)),
            text=_("Stopping after this part") + " …"
            if stopping
            else _("{doing}, {done:,} of {n:,} items").format(
                doing=literal(run.doing or models[0].name), done=run.n_done, n=run.n_items
            ),
        )
    found = [benchmark_runs.results(path) for path in paths]
    tables = {
        str(one.settings["model"]): vizcore.accuracy_table(one)
        for one in found
        if one is not None and one.settings["method"] == "pairs"
    }
    if tables:
        first = next(iter(tables.values()))
        st.dataframe(first, hide_index=True, row_height=31, column_config=_columns())


def _look(found: "list[vizcore.Evaluation]", models: "list[vizcore.Model]") -> None:
    """The numbers, and the items behind one of them."""
    try:
        if found[0].settings["method"] == "pairs":
            _pairs(found, models)
        else:
            _labels(found, models)
    except vizcore.DataError as error:
        st.error(literal(str(error)), icon=":material/error:")


@st.fragment
def _pairs(found: "list[vizcore.Evaluation]", models: "list[vizcore.Model]") -> None:
    tables = {str(one.settings["model"]): vizcore.accuracy_table(one) for one in found}
    compared = None
    if len(found) > 1 and all(one.complete for one in found):
        compared = vizcore.paired_table(found[0].items, found[1].items)
    names = next(iter(tables.values()))["paradigm"].tolist()
    scene = current()
    group = min(len(names) - 1 if scene.group is None else scene.group, len(names) - 1)
    _verdict(tables, compared)
    numbers, items = st.columns([5, 6], gap="medium")
    with numbers:
        figure = vizcore.accuracy_chart(
            tables, selected=group, dark=st.context.theme.type == "dark"
        ).figure
        mount_map(
            figure,
            key="accuracies",
            alt=_("The accuracy of each group"),
            on_select=lambda choice: pick(group=int(choice["row"]), item=None),
        )
        shown = next(iter(tables.values())) if compared is None else compared
        st.dataframe(shown, hide_index=True, row_height=31, column_config=_columns())
    with items:
        benchmark_items.show(found, models, by="paradigm", names=names, group=group)


def _verdict(tables: dict[str, pd.DataFrame], compared: pd.DataFrame | None) -> None:
    said = [
        _("**{name}** has **{share:.1%}** of {n:,} right").format(
            name=literal(name),
            share=table["accuracy"].iloc[-1],
            n=table["n"].iloc[-1],
        )
        for name, table in tables.items()
    ]
    line = _("; ").join(said) + "."
    if compared is not None:
        row = compared.iloc[-1]
        line += " " + _(
            "The second minus the first: {difference:+.1%}, with 95 % certainty between {low:+.1%} "
            "and {high:+.1%}; McNemar's p = {p:.3g}."
        ).format(difference=row["difference"], low=row["low"], high=row["high"], p=row["p_value"])
    line += " " + _("Click on a row of the chart for its items.")
    st.markdown(line)


@st.fragment
def _labels(found: "list[vizcore.Evaluation]", models: "list[vizcore.Model]") -> None:
    tables = {str(one.settings["model"]): vizcore.metric_table(one) for one in found}
    for name, table in tables.items():
        best = table.loc[table["value"].idxmax()] if "layer" in table else table.iloc[0]
        where = _(" at layer {layer}").format(layer=best["layer"]) if "layer" in table else ""
        st.markdown(
            _("**{name}**: {metric} {value:.3f}{where}.").format(
                name=literal(name), metric=best["metric"], value=best["value"], where=where
            )
        )
    chart, table = st.columns([1, 1], gap="medium")
    with table:
        both = pd.concat([one.assign(model=name) for name, one in tables.items()])
        st.dataframe(both, hide_index=True, row_height=31, column_config=_columns())
    with chart:
        first = next(iter(tables.values()))
        if "layer" in first:
            main = first["metric"].iloc[0]
            curves = {name: one[one["metric"] == main] for name, one in tables.items()}
            figure = vizcore.layer_curves(curves, dark=st.context.theme.type == "dark").figure
            st.plotly_chart(figure, key="by_layer", config={"displayModeBar": False})
        elif "correct" in found[0].items:
            labelled = {
                str(one.settings["model"]): vizcore.accuracy_table(one, by="label") for one in found
            }
            figure = vizcore.accuracy_chart(
                labelled, chance=None, dark=st.context.theme.type == "dark"
            ).figure
            st.plotly_chart(figure, key="by_label", config={"displayModeBar": False})
    names = found[0].items["benchmark"].unique().tolist()
    benchmark_items.show(found, models, by="benchmark", names=names, group=0)


def _columns() -> dict[str, Any]:
    number = st.column_config.NumberColumn
    percent = {"format": "percent", "width": 75}
    return {
        "paradigm": st.column_config.TextColumn(_("Group"), width=150),
        "n": number(_("Items"), width=55),
        "n_correct": None,
        "accuracy": number(_("Right"), **percent),
        "accuracy_a": number(_("First"), **percent),
        "accuracy_b": number(_("Second"), **percent),
        "difference": number(_("Apart"), **percent),
        "low": number(_("From"), help=_("Of the interval of 95 %."), **percent),
        "high": number(_("To"), **percent),
        "accuracy_by_mean": number(
            _("By mean"), help=_("By the mean over tokens, not the sum."), **percent
        ),
        "mean_difference": number(_("Nats apart"), format="%.2f", width=85),
        "only_a": None,
        "only_b": None,
        "p_value": number("p", format="%.3f", width=60, help=_("McNemar's exact test.")),
        "p_adjusted": number(
            _("p adjusted"), format="%.3f", width=80, help=_("For the number of groups (Holm).")
        ),
        "value": number(_("Value"), format="%.3f"),
        "metric": st.column_config.TextColumn(_("Metric")),
    }
