"""Benchmark files are read as they are published; what cannot be used is named with its line."""

import json
from pathlib import Path
from typing import Any

import pytest

import vizcore
from vizcore.tasks import GLUE

BOM = b"\xef\xbb\xbf"
# Each as GLUE has it, with what is awkward about it: (folder, file, bytes, task, items).
GLUE_FILES = [
    (
        "CoLA",
        "dev.tsv",  # no headings; the star is empty for good sentences
        "gj04\t1\t\tThe sailors rode the breeze clear of the rocks.\n"
        'gj04\t0\t*\tThe "car honked down the road.\n',
        [
            (1, "The sailors rode the breeze clear of the rocks.", None, "1"),
            (2, 'The "car honked down the road.', None, "0"),
        ],
    ),
    (
        "SST-2",
        "train.tsv",  # a space at the end of each sentence
        "sentence\tlabel\nhide new secretions from the parental units \t0\n"
        "that loves its characters \t1\n",
        [
            (2, "hide new secretions from the parental units", None, "0"),
            (3, "that loves its characters", None, "1"),
        ],
    ),
    (
        "MRPC",
        "msr_paraphrase_test.txt",  # a BOM, carriage returns, quotation marks that are not closed
        "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n"
        '1\t702876\t702977\t"We are done , he said .\tHe said : " We are done .\r\n'
        "0\t2108705\t2108831\tYucaipa owned it .\tYucaipa bought it .\r\n",
        [
            (2, '"We are done , he said .', 'He said : " We are done .', "1"),
            (3, "Yucaipa owned it .", "Yucaipa bought it .", "0"),
        ],
    ),
    (
        "QQP",
        "dev.tsv",
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
        "201359\t303345\t303346\tWhy are African-Americans so beautiful?\tWhy?\t0\n",
        [(2, "Why are African-Americans so beautiful?", "Why?", "0")],
    ),
    (
        "STS-B",
        "dev.tsv",
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"
        "0\tmain-captions\tMSRvid\t2012test\t0000\tnone\tnone\tA man.\tA person.\t4.750\n",
        [(2, "A man.", "A person.", 4.75)],
    ),
    (
        "MNLI",
        "dev_matched.tsv",
        "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\t"
        "sentence1_parse\tsentence2_parse\tsentence1\tsentence2\tlabel1\tlabel2\tgold_label\n"
        "0\t63735\t63735n\tslate\t( a )\t( b )\t(A)\t(B)\tThe new rights.\tRights.\tneutral\t"
        "entailment\tneutral\n",
        [(2, "The new rights.", "Rights.", "neutral")],
    ),
    (
        "QNLI",
        "dev.tsv",
        "index\tquestion\tsentence\tlabel\n0\tWhen?\tIn 1990.\tentailment\n",
        [(2, "When?", "In 1990.", "entailment")],
    ),
    (
        "RTE",
        "dev.tsv",
        "index\tsentence1\tsentence2\tlabel\n0\tDana Reeve has died.\tShe died.\tentailment\n",
        [(2, "Dana Reeve has died.", "She died.", "entailment")],
    ),
    (
        "WNLI",
        "dev.tsv",
        "index\tsentence1\tsentence2\tlabel\n0\tThe drain is clogged with hair.\tIt is hair.\t0\n",
        [(2, "The drain is clogged with hair.", "It is hair.", "0")],
    ),
]


def rows_of(benchmark: vizcore.Benchmark) -> list[tuple[object, ...]]:
    return [
        (item["line"], item["text"], item.get("second"), item["label"])
        for item in benchmark.items.to_dict("records")
    ]


@pytest.mark.parametrize(
    ("folder", "name", "content", "expected"), GLUE_FILES, ids=[file[0] for file in GLUE_FILES]
)
def test_each_of_glues_formats_is_recognised_and_read(
    folder: str, name: str, content: str, expected: list[tuple[object, ...]], tmp_path: Path
) -> None:
    path = tmp_path / "somewhere" / name
    path.parent.mkdir()
    path.write_bytes(content.encode())
    read = vizcore.read_benchmark(path)
    assert read.task is GLUE[folder]
    assert rows_of(read) == expected
    assert read.name == f"{folder} {name.rpartition('.')[0]}"
    told = vizcore.parse_benchmark(content.encode(), "data.tsv", task=folder.lower())
    assert rows_of(told) == expected


def test_each_task_has_the_metrics_of_glues_leaderboard() -> None:
    assert {name: task.metrics for name, task in GLUE.items()} == {
        "CoLA": ("matthews",),
        "SST-2": ("accuracy",),
        "MRPC": ("f1", "accuracy"),
        "QQP": ("f1", "accuracy"),
        "STS-B": ("pearson", "spearman"),
        "MNLI": ("accuracy",),
        "QNLI": ("accuracy",),
        "RTE": ("accuracy",),
        "WNLI": ("accuracy",),
    }


def test_labels_that_both_tasks_could_have_are_told_apart_by_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "WNLI" / "dev.tsv"
    path.parent.mkdir()
    path.write_text("index\tsentence1\tsentence2\tlabel\n0\ta b\tc d\t1\n")
    assert vizcore.read_benchmark(path).task is GLUE["WNLI"]


QQP = (
    b"id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
    b"1\t1\t2\tWhat is this?\tWhat is that?\t0\n"
    b"2\t3\t4\tHow\n"  # the question had a line break in it
    b"do I?\tHow do you?\t1\n"
    b"3\t5\t6\tWho\xe2\x80\xa8is it?\tWho is he?\t1\n"  # U+2028 ends no line
    b"4\t7\t8\tWhen?\tWhere?\tmaybe\n"
    b"5\t9\t10\t\tWhere?\t1\n"
    b"6\t11\t12\tWh\xffy?\tWhere?\t1\n"
)


def test_rows_of_qqp_that_are_broken_are_named_and_the_rest_goes_on() -> None:
    read = vizcore.parse_benchmark(QQP, "train.tsv", skip_malformed=True)
    assert [item[:3] for item in rows_of(read)] == [
        (2, "What is this?", "What is that?"),
        (5, "Who\u2028is it?", "Who is he?"),
    ]
    assert read.malformed.to_dict("records") == [
        {"line": 3, "problem": "has 4 columns and not 6"},
        {"line": 4, "problem": "has 3 columns and not 6"},
        {"line": 6, "problem": "has the label 'maybe', and QQP has 0, 1"},
        {"line": 7, "problem": "has nothing in 'question1'"},
        {"line": 8, "problem": "is not UTF-8: byte 11 of it cannot be read"},
    ]


def test_a_malformed_row_stops_unless_it_may_be_left_out_errors() -> None:
    with pytest.raises(vizcore.DataError) as caught:
        vizcore.parse_benchmark(QQP, "train.tsv")
    assert str(caught.value) == (
        "Line 3 of train.tsv has 4 columns and not 6. 4 more lines are malformed, the last of them "
        "line 8. Mend the file, or leave such rows out (skip_malformed=True; in the terminal "
        "--skip-malformed)."
    )


def blimp(**changes: Any) -> bytes:
    row = {
        "sentence_good": "These cats sleep.",
        "sentence_bad": "These cat sleep.",
        "linguistics_term": "determiner_noun_agreement",
        "UID": "determiner_noun_agreement_1",
        "pairID": "0",
    }
    return json.dumps(row | changes).encode() + b"\n"


def test_blimps_files_are_minimal_pairs_with_paradigm_and_phenomenon() -> None:
    read = vizcore.parse_benchmark(blimp() + b"\n" + blimp(sentence_bad=" x "), "d.jsonl")
    assert read.has_pairs
    assert repr(read) == "Benchmark(d, 2 minimal pairs)"
    first, second = read.items.to_dict("records")
    assert first == {
        "line": 1,
        "good": "These cats sleep.",
        "bad": "These cat sleep.",
        "paradigm": "determiner_noun_agreement_1",
        "phenomenon": "determiner_noun_agreement",
    }
    assert (second["line"], second["bad"]) == (3, " x ")  # spaces are part of the sentence


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (b"{'a': 1}\n", "is not JSON: Expecting property name enclosed in double quotes at "
                        "character 2"),
        (b"[1, 2]\n", "is JSON, but no object with named values, {…}"),
        (blimp(sentence_bad=None), "has no 'sentence_bad'"),
        (blimp(sentence_bad=3), "has 3 in 'sentence_bad', which is no text"),
        (blimp(sentence_good=" "), "has nothing in 'sentence_good'"),
        (blimp(sentence_bad="a\x00"), "has a NUL character in 'sentence_bad'"),
        (blimp(sentence_bad="\ud83d"), "has half of a surrogate pair in 'sentence_bad'"),
        (b"[" * 100_000 + b"\n", "is not JSON that can be read: it is nested too deeply"),
    ],
    ids=range(8),
)  # fmt: skip
def test_what_is_wrong_with_a_line_of_json_is_said_errors(row: bytes, problem: str) -> None:
    with pytest.raises(vizcore.DataError) as caught:
        vizcore.parse_benchmark(blimp() + row, "d.jsonl")
    assert str(caught.value) == (
        f"Line 2 of d.jsonl {problem}. Mend the file, or leave such rows out (skip_malformed=True; "
        "in the terminal --skip-malformed)."
    )
    read = vizcore.parse_benchmark(blimp() + row, "d.jsonl", skip_malformed=True)
    assert len(read.items) == 1
    assert read.malformed.to_dict("records") == [{"line": 2, "problem": problem}]


def test_columns_of_any_table_can_be_named() -> None:
    content = b'n,sentence,verdict\n1,"He said ""no"",\nand left",bad\n2,Fine,good\n'
    columns = {"text": "sentence", "label": "verdict"}
    read = vizcore.parse_benchmark(content, "mine.csv", columns=columns)
    assert rows_of(read) == [(2, 'He said "no",\nand left', None, "bad"), (4, "Fine", None, "good")]
    assert read.task is not None
    assert (read.task.labels, read.task.metrics) == (("bad", "good"), ("accuracy", "matthews"))


def test_columns_that_are_called_so_need_no_naming() -> None:
    pairs = vizcore.parse_benchmark(b"good\tbad\nI am.\tI is.\n", "mine.tsv")
    assert pairs.items.to_dict("records") == [
        {"line": 2, "good": "I am.", "bad": "I is.", "paradigm": "all", "phenomenon": ""}
    ]
    content = b'{"text": "a", "label": 1}\n{"text": "b", "label": 0.5}\n'
    graded = vizcore.parse_benchmark(content, "mine.jsonl", graded=True)
    assert graded.task is not None
    assert graded.task.graded
    assert [item[3] for item in rows_of(graded)] == [1.0, 0.5]


def test_csv_with_a_quotation_mark_that_is_never_closed_errors() -> None:
    content = b'text,label\nfine,1\n"open,0\nmore,1\n'
    with pytest.raises(
        vizcore.DataError, match="Line 3 of m.csv is not CSV: unexpected end of data"
    ):
        vizcore.parse_benchmark(content, "m.csv")


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (b"", {}, "m.tsv has no rows: there is nothing to ask."),
        (b"good\tbad\n", {}, "m.tsv has no rows: there is nothing to ask."),
        (
            b"index\tsentence\n0\tBill coughed.\n",
            {},
            "m.tsv has no column of labels. GLUE keeps those of its test files to itself: take a "
            "train or dev file.",
        ),
        (
            b"index\tsentence1\tsentence2\n0\ta\tb\n",
            {"task": "rte"},
            "m.tsv has no column of labels. GLUE keeps those of its test files to itself: take a "
            "train or dev file.",
        ),
        (
            b"a\tb\n1\t2\n",
            {},
            "It is not known which columns of m.tsv are asked about. Its columns: a, b. Say which "
            'one is "good" and which "bad" (minimal pairs), or which is "text" and which "label".',
        ),
        (
            b"a\tb\n1\t2\n",
            {"columns": {"text": "c", "label": "b"}},
            "m.tsv has no column 'c' for text. Its columns: a, b.",
        ),
        (
            b"sentence\tlabel\nx\t1\n",
            {"task": "MRPC"},
            "m.tsv has no column '#1 String', which MRPC has. Its columns: label, sentence.",
        ),
        (
            b"text\tlabel\na\t1\nb\t1\n",
            {},
            "All rows of m.tsv have the label '1', so there is nothing to tell apart.",
        ),
        (
            b"text\tlabel\na\tfour\n",
            {"graded": True, "skip_malformed": True},
            "Line 2 of m.tsv has 'four' as its label, which is no number. No row of it can be "
            "used.",
        ),
    ],
    ids=range(9),
)
def test_a_file_that_cannot_be_used_says_why_errors(
    content: bytes, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(vizcore.DataError) as caught:
        vizcore.parse_benchmark(content, "m.tsv", **options)
    assert str(caught.value) == said


def test_names_that_are_not_known_are_refused_errors(tmp_path: Path) -> None:
    with pytest.raises(vizcore.SelectionError) as caught:
        vizcore.parse_benchmark(b"a\tb\n1\t2\n", "m.tsv", columns={"right": "a"})
    assert str(caught.value) == (
        "A column cannot be 'right'. Minimal pairs have good, bad, paradigm, phenomenon; texts "
        "with labels text, second, label."
    )
    with pytest.raises(vizcore.SelectionError) as caught:
        vizcore.parse_benchmark(b"a\tb\n1\t2\n", "m.tsv", task="imdb")
    assert str(caught.value) == (
        "GLUE has no task 'imdb'. It has 'CoLA', 'SST-2', 'MRPC', 'QQP', 'STS-B', 'MNLI', 'QNLI', "
        "'RTE' and 'WNLI'."
    )
    with pytest.raises(vizcore.DataError) as missing:
        vizcore.read_benchmark(tmp_path / "no.tsv")
    assert str(missing.value) == f"There is no file {tmp_path / 'no.tsv'}. Check the path."


def sentiment() -> vizcore.Benchmark:
    content = "text\tlabel\n" + "".join(f"text {n}\t{'ab'[n % 2]}\n" for n in range(40))
    return vizcore.parse_benchmark(content.encode(), "mine.tsv")


def test_a_prompt_can_be_given_and_is_checked_errors() -> None:
    with_prompt = sentiment().with_prompt("{text} It is {word}.", ["A", "B"])
    assert with_prompt.task is not None
    assert with_prompt.task.words == ("A", "B")
    said = {
        ("{text}", ("A", "B")): "The template '{text}' has no {word} in it.",
        ("{text} {word} {second}", ("A", "B")): (
            "The template '{text} {word} {second}' has {second}, and there is {text} and {word}."
        ),
        ("{text.__class__} {word}", ("A", "B")): (
            "The template '{text.__class__} {word}' has {text.__class__}, and there is {text} and "
            "{word}."
        ),
        ("{text} {word", ("A", "B")): (
            "The template '{text} {word' cannot be read: expected '}' before end of string. Write "
            "{{ for a brace."
        ),
        ("{text} {word}", ("A", "A")): (
            "mine needs 2 different words, for 'a' and 'b'; there are 2: 'A' and 'A'."
        ),
        ("", ()): (
            "There is no prompt for mine. Give a template with {text} and {word} in it, and a word "
            "for each label."
        ),
    }
    for (template, words), message in said.items():
        with pytest.raises(vizcore.SelectionError) as caught:
            sentiment().with_prompt(template, words)
        assert str(caught.value) == message


def test_a_sample_keeps_the_order_and_is_the_same_for_the_same_seed() -> None:
    whole = sentiment()
    sample = whole.sample(7, seed=3)
    assert sample.items["line"].is_monotonic_increasing
    assert len(sample.items) == 7
    assert sample.items.equals(whole.sample(7, seed=3).items)
    assert not sample.items.equals(whole.sample(7, seed=4).items)
    assert len(whole.sample(1000).items) == len(whole.items) == 40
    assert list(whole.head(2).items["line"]) == [2, 3]


def test_the_published_files_of_blimp_are_read_whole(shared_data: Path) -> None:
    files = sorted((shared_data / "blimp").glob("*.jsonl"))
    assert len(files) == 34
    for path in files:
        read = vizcore.read_benchmark(path)
        assert len(read.items) == 1000
        assert set(read.items["paradigm"]) == {path.stem}
