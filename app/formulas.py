"""The formula of attention in LaTeX, as the head at hand has it, with the current part marked.

The whole formula stays on the screen from the first step to the last, so that people see where in
it they are. Parts that this network does not have are not in it; what is left out is struck out.
"""

import vizcore

MARKS = {False: ("#a83400", "#ffe3c7"), True: ("#ffc39a", "#5a2b0a")}
"""Letters and background of the marked part, on a light page and on a dark one."""


def head_formula(steps: "vizcore.AttentionSteps", step: str, *, dark: bool) -> str:
    """What one head computes, and Concat and Wᴼ after it.

    Args:
        steps: the head.
        step: whose part is marked.
        dark: whether the page is.
    """

    def mark(latex: str, *names: str) -> str:
        if step not in names:
            return latex
        letters, background = MARKS[dark]
        return rf"\colorbox{{{background}}}{{$\displaystyle\color{{{letters}}}{latex}$}}"

    query, keys = mark("q", "query", "rotation"), mark(r"K^{\top}", "keys", "rotation")
    scores = mark(rf"{query}\,{keys}", "scores")
    scaled = mark(_scaled(steps, scores), "scaling")
    if steps.softcap is not None:
        scaled = mark(rf"c\,\tanh\frac{{1}}{{c}}\Bigl({scaled}\Bigr)", "softcap")
    if steps.bias is not None:
        scaled += mark(r"\,+\,B", "bias")
    if steps.n_hidden or step == "mask":
        masked = r"\,\cancel{+\,M}" if "mask" in steps.left_out else r"\,+\,M"
        scaled += mark(masked, "mask")
    weights = mark(rf"\mathrm{{softmax}}\Bigl({scaled}\Bigr)", "softmax")
    value = mark("V", "values")
    head = mark(rf"{weights}\,{value}", "sum")
    own = rf"\mathrm{{head}}_{{{steps.head}}}"
    last = len(steps.other_heads) - 1
    heads = rf"\mathrm{{head}}_0 \ldots \mathrm{{head}}_{{{last}}}" if last else own
    concat = mark(rf"\mathrm{{Concat}}({heads})", "concat")
    return rf"{own} = {head} \qquad {concat}\," + mark("W^O", "output")


def _scaled(steps: "vizcore.AttentionSteps", scores: str) -> str:
    if steps.divides_by_root:
        root = r"\sqrt{d_k}"
        if "scaling" in steps.left_out:
            root = rf"\cancel{{{root}}}"
        return rf"\frac{{{scores}}}{{{root}}}"
    factor = rf"{steps.scaling:.3g}"
    if "scaling" in steps.left_out:
        factor = rf"\cancel{{{factor}}}"
    return scores if steps.scaling == 1 else rf"{factor} \cdot {scores}"
