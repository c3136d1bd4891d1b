"""The Mamba block (Gu and Dao 2023) in plain PyTorch, exact and chunked; `mamba_ssm`'s kernel where installed."""

from __future__ import annotations

import importlib.util
import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

STATES = 16
CONV_WIDTH = 4
EXPAND = 2


def selective_scan_naive(x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """One token after the other: `h_t = exp(delta_t A) h_{t-1} + delta_t B_t x_t`, `y_t = C_t . h_t`.

    x, delta [N, L, W]; A [W, S], negative; B, C [N, L, S]; y [N, L, W], h_0 = 0. The reference.
    """
    h = x.new_zeros(x.shape[0], x.shape[2], A.shape[1])
    out = []
    for t in range(x.shape[1]):
        h = torch.exp(delta[:, t, :, None] * A) * h + delta[:, t, :, None] * B[:, t, None, :] * x[:, t, :, None]
        out.append((h * C[:, t, None, :]).sum(dim=-1))
    return torch.stack(out, dim=1)


def selective_scan(x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, *, chunk: int = 1024) -> Tensor:
    """As `selective_scan_naive`, `chunk` tokens at a time.

    Within a chunk, log2(chunk) rounds of the associative scan of Hillis and Steele: only products of
    decays below one, so that nothing overflows. Chunks are computed again in the backward pass, so
    that memory is N * chunk * W * S for the current chunk.
    """
    h = x.new_zeros(x.shape[0], x.shape[2], A.shape[1])
    out = []
    for start in range(0, x.shape[1], chunk):
        part = slice(start, start + chunk)
        arguments = (x[:, part], delta[:, part], A, B[:, part], C[:, part], h)
        if torch.is_grad_enabled():
            y, h = checkpoint(_scan_chunk, *arguments, use_reentrant=False)
        else:
            y, h = _scan_chunk(*arguments)
        out.append(y)
    return torch.cat(out, dim=1)


def _scan_chunk(  # noqa: PLR0917 -- checkpoint() passes by position
    x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, h: Tensor
) -> tuple[Tensor, Tensor]:
    decay = torch.exp(delta[..., None] * A)
    state = (delta * x)[..., None] * B[:, :, None, :]
    step = 1
    while step < x.shape[1]:
        earlier_state = functional.pad(state[:, :-step], (0, 0, 0, 0, step, 0))
        earlier_decay = functional.pad(decay[:, :-step], (0, 0, 0, 0, step, 0), value=1.0)
        state = state + decay * earlier_state
        decay = decay * earlier_decay
        step *= 2
    state = state + decay * h[:, None]
    return (state * C[:, :, None, :]).sum(dim=-1), state[:, -1]


class Mamba(nn.Module):
    """Tokens [N, L, width] -> [N, L, width]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner, self.rank = EXPAND * width, math.ceil(width / 16)
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.conv = nn.Conv1d(inner, inner, CONV_WIDTH, groups=inner, padding=CONV_WIDTH - 1)
        self.x_proj = nn.Linear(inner, self.rank + 2 * STATES, bias=False)
        self.dt_proj = nn.Linear(self.rank, inner)
        self.A_log = nn.Parameter(torch.log(torch.arange(1, STATES + 1, dtype=torch.float32)).repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner))
        self.out_proj = nn.Linear(inner, width, bias=False)
        with torch.no_grad():  # time steps start between 0.001 and 0.1, log-uniform
            nn.init.uniform_(self.dt_proj.weight, -(self.rank**-0.5), self.rank**-0.5)
            steps = torch.exp(torch.rand(inner) * math.log(100) + math.log(1e-3))
            self.dt_proj.bias.copy_(steps + torch.log(-torch.expm1(-steps)))

    def forward(self, tokens: Tensor) -> Tensor:
        x, gate = self.in_proj(tokens).chunk(2, dim=-1)
        x = functional.silu(self.conv(x.mT)[..., : tokens.shape[1]]).mT
        dt, B, C = self.x_proj(x).split([self.rank, STATES, STATES], dim=-1)
        delta = functional.softplus(self.dt_proj(dt))
        y = _scan(x, delta, -torch.exp(self.A_log), B, C) + self.D * x
        out: Tensor = self.out_proj(y * functional.silu(gate))
        return out


def _scan(x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    if x.is_cuda and importlib.util.find_spec("mamba_ssm") is not None:
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

        y: Tensor = selective_scan_fn(x.mT, delta.mT, A, B.mT.contiguous(), C.mT.contiguous())
        return y.mT
    return selective_scan(x, delta, A, B, C)
