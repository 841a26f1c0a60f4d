"""What a browser gets, decoded by code of the tests' own."""

import base64
import json
import zlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vizcore.views.payload import ABOVE, BELOW, INFINITE, UNDEFINED, pack, quantise


def unpack(packed: dict[str, object]) -> np.ndarray:
    text = json.loads(json.dumps(packed))
    raw = base64.b64decode(text["base64"])
    if text["encoding"] == "deflate-raw":
        raw = zlib.decompress(raw, wbits=-15)
    return np.frombuffer(raw, dtype=text["dtype"]).reshape(text["shape"])


@given(st.floats(-2, 2), st.floats(0.01, 3), st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_a_code_is_within_a_five_hundredth_of_the_scale(
    low: float, width: float, places: list[float]
) -> None:
    values = np.array([low + place * width for place in places])
    codes = quantise(values, low=low, high=low + width)
    decoded = low + codes / 250 * width
    assert np.abs(decoded - values).max() <= width / 500 * (1 + 1e-9)


def test_the_ends_of_the_scale_and_half_of_it_are_exact() -> None:
    np.testing.assert_array_equal(
        quantise(np.array([0, 0.5, 1.0]), low=0.0, high=1.0), [0, 125, 250]
    )


def test_values_beyond_the_scale_are_marked_and_rounding_is_not() -> None:
    values = np.array([-0.1, -1e-4, 1 + 1e-4, 1.1])
    np.testing.assert_array_equal(quantise(values, low=0.0, high=1.0), [BELOW, 0, 250, ABOVE])


def test_what_is_not_finite_has_codes_of_its_own() -> None:
    values = np.array([np.nan, np.inf, -np.inf])
    codes = quantise(values, low=0.0, high=1.0)
    np.testing.assert_array_equal(codes, [UNDEFINED, INFINITE, INFINITE])


def test_what_repeats_is_deflated_and_comes_back_the_same() -> None:
    array = np.zeros((3, 40, 30), dtype=np.uint8)
    array[1, 5, 7] = 9
    packed = pack(array)
    assert packed["encoding"] == "deflate-raw"
    np.testing.assert_array_equal(unpack(packed), array)


def test_noise_is_not_deflated_because_that_would_not_pay() -> None:
    array = np.random.default_rng(0).integers(0, 256, (2, 20, 30), dtype=np.uint8)
    packed = pack(array)
    assert packed["encoding"] == "none"
    np.testing.assert_array_equal(unpack(packed), array)
