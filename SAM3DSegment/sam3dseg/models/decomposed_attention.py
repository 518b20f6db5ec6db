"""Self-attention of SAM's image encoder: over all tokens of a picture, or in windows, with relative positions.

Query (h, w) and key (kh, kw) get the bias `q·Rh[h, kh] + q·Rw[w, kw]`, q unscaled (Li et al., arXiv 2112.01526).

SAM pads the tokens with zeros to whole windows and attends to the padding as well.  All padded keys of a window have
the same key and value vector, so they enter here as one extra key, whose bias is the log of the sum of their
exponentiated biases; padded queries are left out, and windows without padding need neither.

B pictures, M heads of all windows of h × w tokens, E channels per head, K positions per axis with the padding.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .transformer_parts import FoldedWeights

CACHED_BYTES = 2**24  # of the bias that is made at a time on a CPU: it stays in the cache
DEVICE_BYTES = 2**29  # the same on a GPU, where it only limits the memory


class DecomposedAttention(nn.Module):
    """Multi-head self-attention in windows of `window`² tokens, or over the whole grid where that is None.

    size: tokens per axis of the grid that the position tables are made for.
    """

    def __init__(self, dim: int, heads: int, *, size: int, window: int | None) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        rows = 2 * (window or size) - 1
        self.rel_pos_h, self.rel_pos_w = (nn.Parameter(torch.zeros(rows, dim // heads)) for _ in range(2))
        self._folded = FoldedWeights()

    def forward(self, x: Tensor) -> Tensor:
        """(B, h, w, C) -> (B, h, w, C)."""
        qkv = self.qkv(x)  # (B, h, w, 3 C)
        if self.window is None:
            return self.proj(self._attend(qkv, None))
        filler = self.qkv(x.new_zeros(1, x.shape[-1]))  # query, key and value of every padded position
        strips = []
        for strip in qkv.split(_segments(qkv.shape[1], self.window), dim=1):
            parts = strip.split(_segments(qkv.shape[2], self.window), dim=2)
            strips.append(torch.cat([self._attend(part, filler) for part in parts], dim=2))
        return self.proj(torch.cat(strips, dim=1))

    def _attend(self, qkv: Tensor, filler: Tensor | None) -> Tensor:
        """Tokens (B, h, w, 3 C) of equal windows, filler (1, 3 C) where they may be padded -> (B, h, w, C)."""
        b, height, width, _ = qkv.shape
        h, w = (min(size, self.window or size) for size in (height, width))
        cut = qkv.reshape(b, height // h, h, width // w, w, 3, self.heads, -1)
        q, k, v = cut.permute(5, 0, 1, 3, 6, 2, 4, 7).flatten(1, 4).unbind(0)  # (M, h, w, E), M = all windows' heads
        term_h = torch.einsum("mhwe,hke->mhwk", q, self._rows(self.rel_pos_h, h))  # (M, h, w, K)
        term_w = torch.einsum("mhwe,wke->mhwk", q, self._rows(self.rel_pos_w, w))
        k, v = k.flatten(1, 2), v.flatten(1, 2)  # (M, h w, E)
        extra = None
        if filler is not None and min(h, w) < term_h.shape[-1]:
            _, *fillers = filler.view(3, self.heads, 1, -1).unbind(0)  # (H, 1, E) each
            windows = len(q) // self.heads
            k, v = (torch.cat([t, f.repeat(windows, 1, 1)], dim=1) for t, f in zip((k, v), fillers, strict=True))
            extra = padding_bias(term_h, term_w)  # (M, h, w, 1)
        mixed = _attention(q, k, v, term_h[..., :h], term_w[..., :w], extra)  # (M, h, w, E)
        grid = mixed.unflatten(0, (b, height // h, width // w, self.heads)).permute(0, 1, 4, 2, 5, 3, 6)
        return grid.reshape(b, height, width, -1)

    def _rows(self, table: Tensor, size: int) -> Tensor:
        """(2 R - 1, E) -> (size, K, E): row a - b + K - 1 for query position a and key position b."""
        return self._folded.of(table, size, lambda: self._unfolded(table, size))

    def _unfolded(self, table: Tensor, size: int) -> Tensor:
        span = self.window or size
        if len(table) != 2 * span - 1:
            resized = F.interpolate(table.T[None].float(), 2 * span - 1, mode="linear", align_corners=False)
            table = resized[0].T.to(table.dtype)
        axis = torch.arange(span, device=table.device)
        return table[axis[:size, None] - axis[None, :] + span - 1]


def _segments(length: int, window: int) -> list[int]:
    """How many of `length` tokens lie in whole windows, and how many in a last one with padding; without zeros."""
    rest = length % window
    return [part for part in (length - rest, rest) if part]


def padding_bias(term_h: Tensor, term_w: Tensor) -> Tensor:
    """Log of the summed exponentials of all padded keys' biases: terms (M, h, w, K) -> (M, h, w, 1).

    A key is padded when kh or kw is, and at least one axis has padding; the sum over both axes factorises.
    """
    h, w = term_h.shape[1:3]
    below, right = term_h[..., h:], term_w[..., w:]
    parts = []
    if below.shape[-1]:  # kh padded, kw not
        parts.append(below.logsumexp(-1) + term_w[..., :w].logsumexp(-1))
    if right.shape[-1]:  # kw padded, any kh
        parts.append(right.logsumexp(-1) + term_h.logsumexp(-1))
    return torch.stack(parts, dim=-1).logsumexp(-1, keepdim=True)


def _attention(q: Tensor, k: Tensor, v: Tensor, term_h: Tensor, term_w: Tensor, extra: Tensor | None) -> Tensor:
    """Attention with the bias term_h[..., kh] + term_w[..., kw], and `extra` for one more key, a piece at a time.

    q (M, h, w, E), k and v (M, N, E), terms (M, h, w, h) and (M, h, w, w), extra (M, h, w, 1), M heads of all windows
    -> (M, h, w, E).
    """
    count, h, w, _ = q.shape
    row_bytes = w * k.shape[1] * q.element_size()
    limit = (CACHED_BYTES if q.device.type == "cpu" else DEVICE_BYTES) // row_bytes  # rows of queries at a time
    some, rows = max(1, limit // h), min(h, max(1, limit))
    pieces = []
    for first in range(0, count, some):
        strips = []
        for top in range(0, h, rows):
            part = slice(first, first + some), slice(top, top + rows)
            bias = (term_h[part].unsqueeze(-1) + term_w[part].unsqueeze(-2)).flatten(3)  # (some, rows, w, h w)
            if extra is not None:
                bias = torch.cat([bias, extra[part]], dim=-1)
            queries, bias = q[part].flatten(1, 2)[None], bias.flatten(1, 2)[None]  # the kernels want four axes
            strips.append(F.scaled_dot_product_attention(queries, k[None, part[0]], v[None, part[0]], attn_mask=bias))
        pieces.append(torch.cat(strips, dim=2)[0])
    return torch.cat(pieces).unflatten(1, (h, w))
