"""The embedded network: a compact promptable 3D SAM made for a CPU.

A convolutional image encoder runs once per window and leaves a feature pyramid at strides 2, 4, 8 and 16.  A light
decoder, run at every click, mixes that pyramid with dense prompt maps and answers at stride 2.  Three ideas carry it:

* clicks become maps at every scale (Gaussians of several widths, as in the click maps of RITM, arXiv 2102.06583),
* each click also *matches*: the similarity of a learned embedding, and of the plain intensities, between the click and
  everywhere else, the highest over the positive and over the negative clicks, tells which tissue was clicked,
* the previous mask comes back as logits, as in SAM (arXiv 2304.02643), whence also the several masks and the IoU head.

B windows, C channels, N clicks, M masks; the grid at stride s is (D/s, H/s, W/s) for a window (D, H, W).
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..weighing import FEATURES
from .click_maps import ClickMatcher
from .convolution import (
    ResidualBlock,
    add_upsampled,
    added,
    convolution,
    grid_of,
    group_norm,
    matrix_of,
    rows_of,
    silu,
)

STRIDES = (2, 4, 8, 16)
CLICK_WIDTHS = {2: (2.0, 6.0), 4: (3.0, 10.0), 8: (8.0, 24.0), 16: (16.0, 48.0)}  # Gaussian sigmas in window voxels
PROMPT_MAPS = 10  # two Gaussians per sign, the previous mask and its presence, two matches per sign
LOGIT_LIMIT = 12.0  # previous logits are squashed smoothly beyond this, so that a sure mask can still be corrected
# Typical value and spread of each of `weighing.FEATURES`.
CENTRES = (0.8, 1.6, 0.8, 0.6, 1.6, 3.0, 1.4, 0.9, 0.6, 1.2, 0.4, 2.3, 0.7, 0.8, 0.1)
SPREADS = (2.5, 2.0, 0.4, 0.5, 1.1, 2.4, 1.4, 1.0, 0.5, 0.6, 0.6, 0.5, 0.2, 0.1, 0.7)
STEEPNESS = 8.0  # of what the judge says: it learns that much faster than the layers beside it


class CompactImageEncoder(nn.Module):
    """(B, C_in, D, H, W) -> features at strides 2, 4, 8, 16, coarse context already mixed into the fine ones."""

    def __init__(self, in_channels: int, widths: tuple[int, ...], depths: tuple[int, ...]) -> None:
        super().__init__()
        self.stem = convolution(in_channels * 8, widths[0])
        self.stages = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(width) for _ in range(depth)))
            for width, depth in zip(widths, depths, strict=True)
        )
        pairs = list(zip(widths, widths[1:], strict=False))
        self.down = nn.ModuleList(nn.Conv3d(fine, coarse, 2, stride=2) for fine, coarse in pairs)
        self.lateral = nn.ModuleList(convolution(coarse, fine, 1) for fine, coarse in pairs)
        self.merge = nn.ModuleList(ResidualBlock(fine) for fine, _ in pairs[1:])

    def forward(self, x: Tensor) -> list[Tensor]:
        """The pyramid, finest first."""
        x = self.stages[0](self.stem(space_to_depth(x)))
        features = [x]
        for down, stage in zip(self.down, self.stages[1:], strict=True):
            x = stage(down(x))
            features.append(x)
        for level in reversed(range(len(self.lateral))):
            features[level] = add_upsampled(features[level], self.lateral[level](features[level + 1]))
            if level:  # the finest level is left as a plain sum: a block there would double the cost of encoding
                features[level] = self.merge[level - 1](features[level])
        return features


def space_to_depth(x: Tensor) -> Tensor:
    """(B, C, D, H, W) -> (B, 8 C, D/2, H/2, W/2): every 2³ cube becomes channels."""
    b, c, d, h, w = x.shape
    x = x.reshape(b, c, d // 2, 2, h // 2, 2, w // 2, 2)
    return x.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(b, 8 * c, d // 2, h // 2, w // 2)


class CompactMaskDecoder(nn.Module):
    """Pyramid + prompt maps -> mask logits at stride 2 and the IoU that each mask is expected to reach."""

    def __init__(
        self, in_channels: int, encoder_widths: tuple[int, ...], widths: tuple[int, ...], match_width: int, masks: int
    ) -> None:
        super().__init__()
        self.matchers = nn.ModuleList(ClickMatcher(c, match_width, in_channels) for c in encoder_widths)
        self.reduce = nn.ModuleList(convolution(c, w, 1) for c, w in zip(encoder_widths, widths, strict=True))
        self.mix = nn.ModuleList(convolution(w + PROMPT_MAPS, w, 1) for w in widths)
        self.blocks = nn.ModuleList(ResidualBlock(w) for w in widths[1:])
        self.up = nn.ModuleList(convolution(coarse, fine, 1) for fine, coarse in zip(widths, widths[1:], strict=False))
        self.last_norm, self.last_conv = group_norm(widths[0]), convolution(widths[0], widths[0])
        self.head = convolution(widths[0], masks, 1)
        self.shortcut = nn.Conv3d(PROMPT_MAPS, masks, 1, bias=False)
        self._start_from_the_prompts()
        self.change_judge = ChangeJudge()
        self.iou_head = nn.Sequential(nn.Linear(widths[1] + widths[3] + 3, 64), nn.SiLU(), nn.Linear(64, 1))

    def _start_from_the_prompts(self) -> None:
        """Before any training the answer is a small ball at the clicks, and half of what the previous mask said."""
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.constant_(self.head.bias, -2.0)
        clicks, memory, matches = [0.0, 3.0, 0.0, -3.0], [LOGIT_LIMIT / 2, 0.0], [0.0, 1.0, 0.0, -1.0]
        start = torch.tensor(clicks + memory + matches)
        with torch.no_grad():
            self.shortcut.weight.copy_(start[None, :, None, None, None].expand_as(self.shortcut.weight))

    def prepare(self, x: Tensor, features: list[Tensor]) -> dict[str, list[Tensor]]:
        """What the decoder needs from the input and its pyramid at every click, computed once.

        tissue: the pooled input, in float32, since intensities are compared; features: the pyramid's share of every
        level's mixture; matches: unit vectors.
        """
        tissue = [F.avg_pool3d(x.float(), 2)]
        for _ in STRIDES[1:]:
            tissue.append(F.avg_pool3d(tissue[-1], 2))
        tissue[0] = F.avg_pool3d(tissue[0], 3, stride=1, padding=1, count_include_pad=False)  # calms the noise
        return {
            "tissue": tissue,
            "features": [self._without_prompts(level, f) for level, f in enumerate(features)],
            "matches": [matcher.prepare(f) for matcher, f in zip(self.matchers, features, strict=True)],
        }

    def forward(self, embedding: dict[str, list[Tensor]], sparse: Tensor, dense: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Embedding, clicks (B, N, 4), memory maps per stride -> logits (B, M, D/2, H/2, W/2), iou (B, M)."""
        x, coarsest, quarter = None, None, None
        for level in reversed(range(len(STRIDES))):
            prompts = self.prompt_maps(embedding, sparse, dense[level], level)
            x = self._with_prompts(level, embedding["features"][level], prompts, x)
            if level:
                x = self.blocks[level - 1](x)
            if level == 3:
                coarsest = x
            elif level == 1:
                quarter = x
        x = added(self.last_conv(silu(self.last_norm(x))), x)
        logits = self._logits(silu(x), prompts)
        return logits, self._predict_iou(logits, quarter, coarsest)

    def prompt_maps(self, embedding: dict[str, list[Tensor]], sparse: Tensor, memory: Tensor, level: int) -> Tensor:
        """All that is said of one level's grid (B, 10, d, h, w), in the precision of its features."""
        matcher, stride = self.matchers[level], STRIDES[level]
        points, labels = sparse[..., :3], sparse[..., 3]
        near = matcher.near(embedding["matches"][level], points, labels, stride=stride, sigmas=CLICK_WIDTHS[stride])
        dtype = embedding["features"][level].dtype
        parts = *(click[:, None] for click in near), memory, self.match(embedding, sparse, level)
        return torch.cat([part.to(dtype) for part in parts], dim=1)

    def match(self, embedding: dict[str, list[Tensor]], sparse: Tensor, level: int) -> Tensor:
        """The match maps of one level of the pyramid."""
        return self.matchers[level](
            embedding["matches"][level],
            embedding["tissue"][level],
            sparse[..., :3],
            sparse[..., 3],
            stride=STRIDES[level],
        )

    def _without_prompts(self, level: int, feature: Tensor) -> Tensor:
        """The mixture of reduced features and prompt maps, less the share of the prompts: (B, W, d, h, w)."""
        reduced = self.reduce[level](feature)
        weight, bias = matrix_of(self.mix[level], reduced.shape[1] + PROMPT_MAPS)
        weight, bias = weight[:, :-PROMPT_MAPS].to(reduced.dtype), cast(Tensor, bias).to(reduced.dtype)  # (W, W), (W,)
        return grid_of(F.linear(rows_of(reduced), weight, bias), reduced.shape[2:])

    def _with_prompts(self, level: int, features: Tensor, prompts: Tensor, coarser: Tensor | None) -> Tensor:
        """The whole mixture, and what the next coarser level found: (B, W, d, h, w)."""
        weight = matrix_of(self.mix[level], features.shape[1] + PROMPT_MAPS)[0]
        weight = weight[:, -PROMPT_MAPS:].to(features.dtype)  # (W, 10)
        mixed = torch.baddbmm(
            rows_of(features), prompts.flatten(2).transpose(1, 2), weight.t().expand(len(prompts), -1, -1)
        )
        x = grid_of(mixed, features.shape[2:])
        return x if coarser is None else add_upsampled(x, self.up[level](coarser))

    def _logits(self, x: Tensor, prompts: Tensor) -> Tensor:
        """Features (B, W, d, h, w) and prompt maps (B, 10, d, h, w) -> (B, M, d, h, w), each mask contiguous."""
        head, bias = matrix_of(self.head, x.shape[1])  # (M, W), (M,)
        head, bias = head.to(x.dtype), cast(Tensor, bias)[:, None].to(x.dtype)
        shortcut = matrix_of(self.shortcut, PROMPT_MAPS)[0].to(x.dtype)  # (M, 10)
        of_features = torch.baddbmm(bias, head.expand(len(x), -1, -1), rows_of(x).transpose(1, 2))  # (B, M, V)
        logits = torch.baddbmm(of_features, shortcut.expand(len(x), -1, -1), prompts.flatten(2))
        return logits.unflatten(2, x.shape[2:])

    def _predict_iou(self, logits: Tensor, quarter: Tensor, coarsest: Tensor) -> Tensor:
        """Pooled features inside each mask, and how sure the mask is of itself, -> (B, M) in [0, 1]."""
        probability = F.avg_pool3d(torch.sigmoid(logits.detach().float()), 2)  # (B, M, D/4, H/4, W/4)
        size = probability.sum(dim=(2, 3, 4))  # (B, M)
        inside = torch.einsum("bmdhw,bcdhw->bmc", probability, quarter.float()) / (size[..., None] + 1.0)
        context = coarsest.float().mean(dim=(2, 3, 4))[:, None].expand(-1, inside.shape[1], -1)
        sure = probability.square().sum(dim=(2, 3, 4)) / (size + 1e-3)
        voxels = probability[0, 0].numel()
        facts = torch.stack([sure, torch.log1p(size) / 10.0, size / voxels], dim=-1)  # (B, M, 3)
        described = torch.cat([inside, context, facts], dim=-1).to(self.iou_head[0].weight.dtype)
        return torch.sigmoid(self.iou_head(described)).squeeze(-1)


class ChangeJudge(nn.Module):
    """Which changes of the single mask to believe after a correcting click, from `weighing.FEATURES` of each."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(len(FEATURES), width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)
        )

    def forward(self, features: Tensor) -> Tensor:
        """(K, F) -> logits (K,), in float32."""
        with torch.autocast(features.device.type, enabled=False):
            x = features.float()
            return STEEPNESS * self.layers((x - x.new_tensor(CENTRES)) / x.new_tensor(SPREADS)).squeeze(1)


class CompactNet(nn.Module):
    """Image encoder, prompt encoder and mask decoder behind the interface that every network here has.

    Any window whose axes are multiples of 16 is taken; `window` is the edge of those it was tuned
    for, which clicks use.
    """

    def __init__(
        self,
        *,
        in_channels: int = 2,
        encoder_widths: tuple[int, ...] = (16, 48, 96, 128),
        encoder_depths: tuple[int, ...] = (1, 2, 2, 2),
        decoder_widths: tuple[int, ...] = (16, 32, 64, 96),
        match_width: int = 16,
        masks: int = 4,
        window: int = 128,
    ) -> None:
        super().__init__()
        self.window = window
        encoder_widths, decoder_widths = tuple(encoder_widths), tuple(decoder_widths)
        self.image_encoder = CompactImageEncoder(in_channels, encoder_widths, tuple(encoder_depths))
        self.mask_decoder = CompactMaskDecoder(in_channels, encoder_widths, decoder_widths, match_width, masks)

    def encode_image(self, x: Tensor) -> dict[str, list[Tensor]]:
        """(B, C_in, D, H, W) normalised window -> embedding, reusable for any number of prompts."""
        x = x.contiguous(memory_format=torch.channels_last_3d)
        return self.mask_decoder.prepare(x, self.image_encoder(x))

    def encode_prompts(
        self,
        points: Tensor,
        labels: Tensor,
        mask_logits: Tensor | None,
        *,
        grid: tuple[int, int, int] | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Clicks as they are, and the previous logits as maps.

        points (B, N, 3) in window voxels, labels (B, N) with 1 foreground, 0 background, -1 padding, mask_logits
        (B, 1, D/2, H/2, W/2) or None; `grid` is the stride-2 grid, of `window` where neither is given
        -> sparse (B, N, 4), dense: the previous mask and its presence at every stride, four (B, 2, ...).
        """
        if mask_logits is not None:
            grid = tuple(mask_logits.shape[2:])
        grid = grid or (self.window // STRIDES[0],) * 3
        coordinates = torch.cat([points, labels.to(points.dtype)[..., None]], dim=-1)
        if mask_logits is None:
            sizes = [tuple(axis >> level for axis in grid) for level in range(len(STRIDES))]
            return coordinates, [points.new_zeros((len(points), 2, *size)) for size in sizes]
        previous = [torch.tanh(mask_logits.to(points.dtype) / LOGIT_LIMIT)]
        for _ in STRIDES[1:]:
            previous.append(F.avg_pool3d(previous[-1], 2))
        return coordinates, [F.pad(said, (0,) * 7 + (1,), value=1.0) for said in previous]  # a channel of ones

    def decode_masks(
        self, embedding: dict[str, list[Tensor]], sparse: Tensor, dense: list[Tensor], *, multimask: bool | None = None
    ) -> tuple[Tensor, Tensor]:
        """-> logits (B, M, D/2, H/2, W/2), iou (B, M).

        multimask None gives all four (the single mask first), False the single one, True the three alternatives.
        """
        logits, iou = self.mask_decoder(embedding, sparse, dense)
        if multimask is None:
            return logits, iou
        chosen = slice(1, None) if multimask else slice(0, 1)
        return logits[:, chosen], iou[:, chosen]

    def match_masks(self, embedding: dict[str, list[Tensor]], sparse: Tensor) -> list[Tensor]:
        """Logits (B, 1, ...) at strides 2, 4, 8, 16 of what looks like the clicks: a target for training only."""
        matchers = self.mask_decoder.matchers
        return [m.mask(self.mask_decoder.match(embedding, sparse, level)) for level, m in enumerate(matchers)]

    def judge_changes(self, features: Tensor) -> Tensor:
        """`weighing.FEATURES` (K, F) of changes after a correcting click -> logits (K,) that they are right."""
        return self.mask_decoder.change_judge(features)
