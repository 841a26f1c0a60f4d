"""In which precision matrices are multiplied, where half of it is enough and faster.

Weights, gradients, norms and losses stay in float32: only the products inside are rounded, by
PyTorch's autocast. For attention maps and likelihoods that somebody will check, leave it off.
"""

from contextlib import ExitStack

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether the hardware multiplies matrices of bfloat16 itself."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Underscored, and not in every version of PyTorch; without them nobody knows.
    questions = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, question, bool)()) for question in questions)


def matrix_precision(device: torch.device, *, half: bool) -> ExitStack:
    """A context in which matrices are multiplied in bfloat16, if `half` says so."""
    stack = ExitStack()
    if half:
        stack.enter_context(torch.autocast(device.type, torch.bfloat16))
        if device.type == "cpu":
            # For short texts the gradient of its fused attention takes ten times as long here.
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
    return stack
