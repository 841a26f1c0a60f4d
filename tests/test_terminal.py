"""How tables, bars and JSON come out on a terminal, whatever is in the tokens."""

import json

import numpy as np
import pytest

from vizcore import terminal
from vizcore.maps import AttentionMap


def test_tokens_are_never_read_as_markup_and_cannot_steer_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tokens = ("[bold]", "\x1b[31m", "\u202etxt", ":smile:")
    shown = AttentionMap(np.full((4, 4), 0.25, dtype=np.float32), tokens, tokens)
    terminal.console().print(terminal.map_table(shown, top=5, width=80))
    printed = capsys.readouterr().out
    for label in ("[bold]", "\\u001b[31m", "\\u202etxt", ":smile:"):
        assert printed.count(label) == 2
    assert "\x1b" not in printed
    assert "\u202e" not in printed


def test_wide_characters_count_as_two_columns(capsys: pytest.CaptureFixture[str]) -> None:
    tokens = ("我", "你", "ab")
    shown = AttentionMap(np.eye(3, dtype=np.float32), tokens, tokens)
    terminal.console().print(terminal.map_table(shown, top=5, width=80))
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == list(tokens)
    assert [row.split()[0] for row in rows] == list(tokens)


@pytest.mark.parametrize(
    ("share", "drawn"),
    [(0.0, ""), (1e-9, "▏"), (0.5, "█████"), (0.5125, "█████▏"), (1.0, "█" * 10)],
)
def test_a_bar_is_drawn_in_eighths_and_never_vanishes(share: float, drawn: str) -> None:
    assert terminal.bar(share, width=10) == drawn


def test_json_has_null_where_a_number_is_not_finite(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.print_json({"a": [float("nan"), 1.5, (float("-inf"),)], "我": True})
    assert json.loads(capsys.readouterr().out) == {"a": [None, 1.5, [None]], "我": True}
