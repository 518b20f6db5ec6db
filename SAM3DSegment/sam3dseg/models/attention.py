"""Self-attention with the relative positions that SAM-Med3D was trained with, over one 8³ grid of tokens.

Two peculiarities of the released weights are reproduced (github.com/uni-medical/SAM-Med3D, commit f3de1fa):

* an axis is missing where the three 1-D position tables are broadcast, so query (d, h, w) and key (kd, kh, kw) get
  `q(d,h,w)·Rd[d,kw] + q(d,h,kd)·Rh[h,kw] + q(d,h,kh)·Rw[kh,kw]`;
* "window" blocks pad the 8³ grid to 14³ with zeros and attend to the padding as well.

All padded keys have the same key and value vector, so they enter here as one extra key whose bias is the log of the sum
of their exponentiated biases: the same softmax from 513 keys instead of 2744.

B windows, H heads, E channels per head, K positions per axis with the padding; d, h, w, kd, kh, kw as above.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .transformer_parts import FoldedWeights

GRID = 8  # tokens per axis: a 128³ window in patches of 16³
TOKENS = GRID**3


class RelativePositionAttention(nn.Module):
    """Multi-head self-attention over the 8³ tokens, zero-padded to `span`³ (8: global block, 14: window block)."""

    def __init__(self, dim: int, heads: int, span: int) -> None:
        super().__init__()
        self.heads, self.span = heads, span
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.rel_pos_d, self.rel_pos_h, self.rel_pos_w = (
            nn.Parameter(torch.zeros(2 * span - 1, dim // heads)) for _ in range(3)
        )
        self._folded = FoldedWeights()

    def forward(self, x: Tensor) -> Tensor:
        """(B, 512, C) -> (B, 512, C)."""
        padded = self.span > GRID
        if padded:
            x = F.pad(x, (0, 0, 0, 1))  # one zero token stands for every padded position
        qkv = self.qkv(x).unflatten(2, (3, self.heads, -1))  # (B, 512 or 513, 3, H, E)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (B, H, 512 or 513, E) each
        rows = [self._rows(table) for table in (self.rel_pos_d, self.rel_pos_h, self.rel_pos_w)]
        queries = q[:, :, :TOKENS]
        terms = relative_terms(queries, rows)
        bias = real_bias(terms)  # (B, H, 512, 512)
        if padded:
            bias = torch.cat([bias, padding_bias(q[:, :, TOKENS], rows, terms)], dim=-1)  # (B, H, 512, 513)
        mixed = F.scaled_dot_product_attention(queries, k, v, attn_mask=bias.to(q.dtype))  # (B, H, 512, E)
        return self.proj(mixed.transpose(1, 2).flatten(2))

    def _rows(self, table: Tensor) -> Tensor:
        """(2K-1, E) -> (K, K, E): row a - b + K - 1 for query position a and key position b."""
        return self._folded.of(table, self.span, lambda: unfolded(table, self.span))


def unfolded(table: Tensor, span: int) -> Tensor:
    """(2K-1, E) -> (K, K, E), K = span: row a - b + K - 1 at a, b."""
    axis = torch.arange(span, device=table.device)
    return table[axis[:, None] - axis[None, :] + span - 1]


def relative_terms(queries: Tensor, rows: list[Tensor]) -> list[Tensor]:
    """Queries (B, H, 512, E), rows 3 x (K, K, E) -> the three terms (B, H, d, h, x, kw) with x = w, kd and kh."""
    grid = queries.unflatten(2, (GRID, GRID, GRID))  # (B, H, d, h, w, E)
    equations = ("bndhwe,dke->bndhwk", "bndhwe,hke->bndhwk", "bndhwe,wke->bndhwk")
    return [torch.einsum(equation, grid, r[:GRID]) for equation, r in zip(equations, rows, strict=True)]


def real_bias(terms: list[Tensor]) -> Tensor:
    """The three terms -> bias of the real keys (B, H, 512, 512)."""
    term_d, term_h, term_w = (term[..., :GRID] for term in terms)
    shared = term_h.unsqueeze(5) + term_w.unsqueeze(4)  # (B, H, d, h, kd, kh, kw)
    full = term_d[..., None, None, :] + shared.unsqueeze(4)  # (B, H, d, h, w, kd, kh, kw)
    return full.flatten(5).flatten(2, 4)


def padding_bias(filler: Tensor, rows: list[Tensor], terms: list[Tensor]) -> Tensor:
    """Log of the summed exponentials of all padded keys' biases.

    filler (B, H, E): the query at a padded position; rows 3 x (K, K, E), terms 3 x (B, H, d, h, x, K) -> (B, H, 512,
    1).  The sum over (kd, kh) factorises for a given kw; a key is padded when any of kd, kh, kw is.
    """
    term_d, term_h, term_w = terms
    padding = rows[0].shape[0] - GRID
    pad_h = torch.einsum("bne,hke->bnhk", filler, rows[1][:GRID]) + math.log(padding)  # (B, H, h, K), equal for all kd
    pad_h = pad_h.unsqueeze(2)  # (B, H, 1, h, K)
    pad_w = torch.einsum("bne,wke->bnwk", filler, rows[2][GRID:]).logsumexp(dim=2)[:, :, None, None]  # (B, H, 1, 1, K)
    real_h, real_w = term_h.logsumexp(dim=4), term_w.logsumexp(dim=4)  # (B, H, d, h, K)
    any_w = torch.logaddexp(real_w, pad_w)
    inside = torch.logaddexp(pad_h + any_w, real_h + pad_w)  # kw real: kd or kh must be padded
    outside = torch.logaddexp(real_h, pad_h) + any_w  # kw padded: any kd, kh
    weight = torch.cat([inside[..., :GRID], outside[..., GRID:]], dim=-1)
    return (term_d + weight.unsqueeze(4)).logsumexp(dim=-1).flatten(2).unsqueeze(-1)
