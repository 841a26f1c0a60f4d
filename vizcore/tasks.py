"""What a benchmark with labels asks for: its columns, labels, metrics, and words for the labels.

GLUE's nine tasks (Wang et al. 2018) are known with their own metrics; a `Task` of your own is for
any other file. Prompts are plain questions that a small language model can follow, written here and
meant to be replaced: results of prompting depend on them. Not for minimal pairs, which have no
labels.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from string import Formatter
from typing import Literal

from vizcore.errors import SelectionError

Metric = Literal["accuracy", "f1", "matthews", "pearson", "spearman", "auc"]


@dataclass(frozen=True)
class Task:
    """What is asked about each row of a labelled benchmark.

    Args:
        name: such as "MRPC".
        metrics: by which it is judged, the main one first.
        labels: what a row can be labelled; of two, the last is the positive one. Empty if rows
            have a number in place of a label.
        words: for each label the word that stands for it in a prompt; of a graded task, a word
            for the lowest and one for the highest number.
        template: the prompt, with {text}, {second} (of pairs of texts) and {word} in it.
        columns: in which columns of a GLUE file text, second and label stand.
        symmetric: whether its two texts may be exchanged.
    """

    name: str
    metrics: tuple[Metric, ...]
    labels: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    template: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    symmetric: bool = False

    @property
    def graded(self) -> bool:
        """Whether rows have a number in place of a label."""
        return not self.labels

    def check_prompt(self, *, pairs: bool) -> None:
        """Refuse a prompt that cannot be filled in.

        Raises:
            SelectionError: if there is no template, it lacks a part, has an unknown one, or words
                and labels don't match.
        """
        wanted = {"text", "word", *(("second",) if pairs else ())}
        if not self.template:
            raise SelectionError(
                f"There is no prompt for {self.name}. Give a template with "
                f"{_listed(sorted(wanted), braces=True)} in it, and a word for each label."
            )
        try:
            found = {name for _, name, _, _ in Formatter().parse(self.template) if name is not None}
        except ValueError as error:
            raise SelectionError(
                f"The template {self.template!r} cannot be read: {error}. Write {{{{ for a brace."
            ) from error
        for name in sorted(found - wanted):
            raise SelectionError(
                f"The template {self.template!r} has {{{name}}}, and there is "
                f"{_listed(sorted(wanted), braces=True)}."
            )
        for name in sorted(wanted - found):
            raise SelectionError(f"The template {self.template!r} has no {{{name}}} in it.")
        n_wanted = 2 if self.graded else len(self.labels)
        if len(self.words) != n_wanted or len(set(self.words)) != n_wanted:
            whose = "the lowest and the highest number" if self.graded else _listed(self.labels)
            raise SelectionError(
                f"{self.name} needs {n_wanted} different words, for {whose}; there are "
                f"{len(self.words)}{': ' if self.words else ''}{_listed(self.words)}."
            )


def _glue(
    name: str,
    metrics: tuple[Metric, ...],
    labels: Sequence[str],
    words: Sequence[str],
    template: str,
    columns: tuple[str, ...],
    *,
    symmetric: bool = False,
) -> Task:
    roles = ("text", "label") if len(columns) == 2 else ("text", "second", "label")
    named = dict(zip(roles, columns, strict=True))
    return Task(name, metrics, tuple(labels), tuple(words), template, named, symmetric)


_BINARY = ("0", "1")
_ENTAILMENT = ("not_entailment", "entailment")
_TRUE_OR_FALSE = "{text}\nQuestion: {second} True or False?\nAnswer: {word}"

GLUE = {
    task.name: task
    for task in (
        _glue(
            "CoLA",
            ("matthews",),
            _BINARY,
            ("no", "yes"),
            "{text}\nQuestion: Is this sentence correct English?\nAnswer: {word}",
            ("sentence", "label"),
        ),
        _glue(
            "SST-2",
            ("accuracy",),
            _BINARY,
            ("terrible", "great"),
            "{text} It was {word}.",
            ("sentence", "label"),
        ),
        _glue(
            "MRPC",
            ("f1", "accuracy"),
            _BINARY,
            ("no", "yes"),
            "{text}\n{second}\nQuestion: Do both sentences mean the same thing?\nAnswer: {word}",
            ("#1 String", "#2 String", "Quality"),
            symmetric=True,
        ),
        _glue(
            "QQP",
            ("f1", "accuracy"),
            _BINARY,
            ("no", "yes"),
            "{text}\n{second}\nQuestion: Do both questions ask the same thing?\nAnswer: {word}",
            ("question1", "question2", "is_duplicate"),
            symmetric=True,
        ),
        _glue(
            "STS-B",
            ("pearson", "spearman"),
            (),
            ("no", "yes"),
            "{text}\n{second}\nQuestion: Do both sentences mean the same thing?\nAnswer: {word}",
            ("sentence1", "sentence2", "score"),
            symmetric=True,
        ),
        _glue(
            "MNLI",
            ("accuracy",),
            ("contradiction", "neutral", "entailment"),
            ("False", "Neither", "True"),
            "{text}\nQuestion: {second} True, False or Neither?\nAnswer: {word}",
            ("sentence1", "sentence2", "gold_label"),
        ),
        _glue(
            "QNLI",
            ("accuracy",),
            _ENTAILMENT,
            ("no", "yes"),
            "{text}\n{second}\nQuestion: Does this answer the question?\nAnswer: {word}",
            ("question", "sentence", "label"),
        ),
        _glue(
            "RTE",
            ("accuracy",),
            _ENTAILMENT,
            ("False", "True"),
            _TRUE_OR_FALSE,
            ("sentence1", "sentence2", "label"),
        ),
        _glue(
            "WNLI",
            ("accuracy",),
            _BINARY,
            ("False", "True"),
            _TRUE_OR_FALSE,
            ("sentence1", "sentence2", "label"),
        ),
    )
}
"""GLUE's nine tasks by name, each with the metrics that its leaderboard takes."""

COLA_COLUMNS = ("source", "label", "star", "sentence")
"""CoLA's training and development files have no line of headings."""


def glue_task(name: str) -> Task:
    """A task of GLUE by its name, however it is spelled: "cola", "STSB", "sst2".

    Raises:
        SelectionError: if GLUE has no such task.
    """
    spelled = {_bare(known): task for known, task in GLUE.items()}
    found = spelled.get(_bare(name))
    if found is None:
        raise SelectionError(f"GLUE has no task {name!r}. It has {_listed(tuple(GLUE))}.")
    return found


def recognised(headings: Sequence[str], folder: str, labels: Collection[str]) -> Task | None:
    """Which of GLUE's tasks a tab-separated file belongs to, or None.

    Args:
        headings: the first row.
        folder: what the file's folder is called: GLUE names folders by task.
        labels: what stands in the column "label" of the first rows, by which RTE and WNLI, whose
            headings are the same, are told apart.
    """
    if len(headings) == len(COLA_COLUMNS) and headings[1] in _BINARY and headings[2] in ("", "*"):
        return GLUE["CoLA"]
    known = [task for task in GLUE.values() if {*task.columns.values()} <= {*headings}]
    if len(headings) == 2 and known:
        return GLUE["SST-2"]
    known = [task for task in known if task.name not in ("CoLA", "SST-2")]
    if len(known) > 1:
        in_folder = [task for task in known if _bare(task.name) == _bare(folder)]
        fitting = [task for task in known if labels and {*labels} <= {*task.labels}]
        known = in_folder or fitting
    return known[0] if len(known) == 1 else None


def lacks_labels(headings: Sequence[str]) -> bool:
    """Whether these are the headings of one of GLUE's test files, which come without labels."""
    columns = [{*task.columns.values()} for task in GLUE.values()]
    texts = [{*task.columns.values()} - {task.columns["label"]} for task in GLUE.values()]
    there = {*headings}
    numbered = bool(headings) and headings[0] in ("index", "id")
    return (
        numbered and any(map(there.issuperset, texts)) and not any(map(there.issuperset, columns))
    )


def _bare(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def _listed(names: Sequence[str], *, braces: bool = False) -> str:
    shown = [f"{{{name}}}" if braces else repr(name) for name in names]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
