"""The ramps, measured in OKLab by code of the tests' own."""

import numpy as np
import pytest

from vizcore.views.colours import DARK, LIGHT, Colours, colorscale


def lightness(colour: str) -> float:
    """OKLab L of a hex colour, after Ottosson 2020."""
    channels = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    cones = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    return float(np.array([0.2104542553, 0.7936177850, -0.0040720468]) @ np.cbrt(cones @ linear))


@pytest.mark.parametrize(("colours", "sign"), [(LIGHT, -1), (DARK, 1)])
def test_lightness_goes_one_way_in_even_steps(colours: Colours, sign: int) -> None:
    steps = sign * np.diff([lightness(colour) for colour in colours.sequential])
    assert steps.min() > 0
    assert steps.max() / steps.min() < 1.1


@pytest.mark.parametrize("colours", [LIGHT, DARK])
def test_both_arms_of_the_diverging_ramp_are_equally_light(colours: Colours) -> None:
    values = np.array([lightness(colour) for colour in colours.diverging])
    np.testing.assert_allclose(values, values[::-1], atol=0.01)


@pytest.mark.parametrize(("colours", "background"), [(LIGHT, "#ffffff"), (DARK, "#0e1117")])
def test_a_weight_of_zero_can_be_told_from_the_background(
    colours: Colours, background: str
) -> None:
    assert abs(lightness(colours.sequential[0]) - lightness(background)) > 0.05


def test_plotly_gets_colours_from_zero_to_one() -> None:
    assert colorscale(("#000000", "#777777", "#ffffff")) == [
        (0.0, "#000000"),
        (0.5, "#777777"),
        (1.0, "#ffffff"),
    ]
