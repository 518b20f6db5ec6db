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

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDES = (2, 4, 8, 16)
CLICK_WIDTHS = {2: (2.0, 6.0), 4: (3.0, 10.0), 8: (8.0, 24.0), 16: (16.0, 48.0)}  # Gaussian sigmas in window voxels
MATCH_MAPS = 4  # embedding and intensity, to positive and to negative clicks
PROMPT_MAPS = 6  # two Gaussians per sign, the previous mask and its presence
FARTHEST = 30.0  # scaled intensity difference that counts as no match at all
SMALLEST_EXPONENT = -80.0  # below it exp gives subnormal numbers, which are slow
CACHED_VALUES = 2**17  # size of the tables clicks x voxels: they stay in a CPU's cache
LOGIT_LIMIT = 12.0  # previous logits are squashed smoothly beyond this, so that a sure mask can still be corrected


class Convolution(nn.Conv3d):
    """A 3D convolution that always runs in oneDNN on a CPU.

    For one small float32 volume PyTorch falls back to a plain loop that takes several times as long.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, D, H, W) -> (B, C', D, H, W)."""
        plain = torch.is_grad_enabled() or input.device.type != "cpu" or not torch.backends.mkldnn.is_available()
        if plain or torch.is_autocast_enabled("cpu"):
            return super().forward(input)
        return torch.mkldnn_convolution(input, self.weight, self.bias, self.padding, self.stride, self.dilation, 1)


def _conv(c_in: int, c_out: int, kernel: int = 3) -> nn.Conv3d:
    return Convolution(c_in, c_out, kernel, padding=kernel // 2)


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(8, channels)


class ResidualBlock(nn.Module):
    """Two 3³ convolutions around an identity (pre-activation, He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = _norm(channels), _conv(channels, channels)
        self.norm2, self.conv2 = _norm(channels), _conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, D, H, W) -> the same shape."""
        y = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(y)))


class CompactImageEncoder(nn.Module):
    """(B, C_in, D, H, W) -> features at strides 2, 4, 8, 16, coarse context already mixed into the fine ones."""

    def __init__(self, in_channels: int, widths: tuple[int, ...], depths: tuple[int, ...]) -> None:
        super().__init__()
        self.stem = _conv(in_channels * 8, widths[0])
        self.stages = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(width) for _ in range(depth)))
            for width, depth in zip(widths, depths, strict=True)
        )
        pairs = list(zip(widths, widths[1:], strict=False))
        self.down = nn.ModuleList(nn.Conv3d(fine, coarse, 2, stride=2) for fine, coarse in pairs)
        self.lateral = nn.ModuleList(_conv(coarse, fine, 1) for fine, coarse in pairs)
        self.merge = nn.ModuleList(ResidualBlock(fine) for fine, _ in pairs[1:])

    def forward(self, x: Tensor) -> list[Tensor]:
        """The pyramid, finest first."""
        x = self.stages[0](self.stem(space_to_depth(x)))
        features = [x]
        for down, stage in zip(self.down, self.stages[1:], strict=True):
            x = stage(down(x))
            features.append(x)
        for level in reversed(range(len(self.lateral))):
            context = upsample(self.lateral[level](features[level + 1]))
            features[level] = features[level] + context
            if level:  # the finest level is left as a plain sum: a block there would double the cost of encoding
                features[level] = self.merge[level - 1](features[level])
        return features


def space_to_depth(x: Tensor) -> Tensor:
    """(B, C, D, H, W) -> (B, 8 C, D/2, H/2, W/2): every 2³ cube becomes channels."""
    b, c, d, h, w = x.shape
    x = x.reshape(b, c, d // 2, 2, h // 2, 2, w // 2, 2)
    return x.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(b, 8 * c, d // 2, h // 2, w // 2)


def upsample(x: Tensor) -> Tensor:
    """Nearest doubling of the three axes; the convolutions behind it smooth the steps."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def click_maps(
    points: Tensor, present: Tensor, grid: tuple[int, int, int], *, stride: int, sigmas: tuple[float, ...]
) -> list[Tensor]:
    """The highest Gaussian over the clicks, which is that of the nearest click, for each of `sigmas` in window voxels.

    points (B, N, 3) in window voxels, present (B, N) bool -> (B, D, H, W) in [0, 1] each, 0 where no click is near.
    """
    used = present.any(dim=0)  # clicks of the other sign and padding cost nothing
    points, present = points[:, used], present[:, used]
    if not points.shape[1]:
        return [points.new_zeros((points.shape[0], *grid)) for _ in sigmas]
    axes = []
    for axis, size in enumerate(grid):
        centres = (torch.arange(size, device=points.device, dtype=points.dtype) + 0.5) * stride - 0.5
        axes.append((centres - points[..., axis : axis + 1]).square())  # (B, N, size)
    along = axes[0].masked_fill(~present[..., None], torch.inf)[..., None, None]  # (B, N, D, 1, 1)
    across = axes[1][..., :, None] + axes[2][..., None, :]  # (B, N, H, W)
    nearest = along[:, 0] + across[:, 0, None]  # squared distance (B, D, H, W)
    for n in range(1, points.shape[1]):
        nearest = torch.minimum(nearest, along[:, n] + across[:, n, None])
    return [torch.exp((nearest * (-0.5 / sigma**2)).clamp(min=SMALLEST_EXPONENT)) for sigma in sigmas]


class ClickMatcher(nn.Module):
    """How much every voxel looks like the clicked ones: by a learned embedding, and by intensity alone."""

    def __init__(self, channels: int, width: int, in_channels: int) -> None:
        super().__init__()
        self.embed = _conv(channels, width, 1)
        self.tolerance = nn.Parameter(torch.zeros(in_channels))  # log of the intensity difference that counts as near
        self.gain, self.bias = nn.Parameter(torch.tensor(3.0)), nn.Parameter(torch.tensor(-2.0))

    def prepare(self, features: Tensor) -> Tensor:
        """(B, C, D, H, W) -> unit vectors (B, E, D, H, W); needs no prompts, so it belongs to the encoding."""
        return F.normalize(self.embed(features), dim=1, eps=1e-4)

    def forward(self, embedding: Tensor, tissue: Tensor, points: Tensor, labels: Tensor, *, stride: int) -> Tensor:
        """Match maps (B, 4, D, H, W): embedding and intensity for positive clicks, then both for negative ones.

        embedding: unit vectors (B, E, D, H, W), tissue: pooled input (B, C, D, H, W), points (B, N, 3), labels (B, N).
        Without a click of a sign its embedding match is -1 and its intensity match 0.
        """
        b, _, *grid = embedding.shape
        size = torch.tensor(grid, device=points.device)
        index = ((points + 0.5) / stride).floor().long()
        index = torch.minimum(index.clamp(min=0), size - 1)  # (B, N, 3)
        flat = (index[..., 0] * grid[1] + index[..., 1]) * grid[2] + index[..., 2]  # (B, N)
        rows = _rows(embedding)  # (B, V, E)
        scaled = (_rows(tissue) * torch.exp(-self.tolerance)).transpose(1, 2)  # (B, C, V)
        maps: list[Tensor] = []
        for label in (1, 0):
            present = labels == label
            used = present.any(dim=0)  # clicks of the other sign and padding cost nothing
            maps += _closest(rows, scaled, flat[:, used], present[:, used])
        return torch.stack([m.to(maps[0].dtype) for m in maps], dim=1).reshape(b, MATCH_MAPS, *grid)

    def mask(self, matches: Tensor) -> Tensor:
        """Match maps -> logits (B, 1, D, H, W) of a mask by embedding alone: supervision for the embedding."""
        return self.gain.exp() * (matches[:, :1] - 0.5 - 0.5 * (matches[:, 2:3] + 1)) + self.bias


def _closest(rows: Tensor, scaled: Tensor, flat: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """The best match of every voxel with the clicks: by embedding (B, V) and by intensity (B, V).

    rows (B, V, E), scaled intensities (B, C, V); the clicks lie at voxels flat (B, N), those of present (B, N) count.
    """
    b, voxels, width = rows.shape
    clicks = flat.shape[1]
    if not clicks:
        return rows.new_full((b, voxels), -1.0), torch.exp(scaled.new_full((b, voxels), -FARTHEST))
    keys = rows.gather(1, flat[..., None].expand(-1, -1, width))  # (B, N, E)
    picked = scaled.gather(2, flat[:, None].expand(-1, scaled.shape[1], -1))[..., None]  # (B, C, N, 1)
    absent = None if present.all() else ~present[..., None]  # (B, N, 1)
    table = CACHED_VALUES if rows.device.type == "cpu" else 128 * CACHED_VALUES
    alike, distances = [], []
    step = max(table // (b * clicks), 1024)
    for part in (slice(begin, begin + step) for begin in range(0, voxels, step)):
        similarity = keys @ rows[:, part].transpose(1, 2)  # (B, N, v)
        distance = (scaled[:, :, None, part] - picked).abs().sum(dim=1)  # (B, N, v)
        if absent is not None:
            similarity, distance = similarity.masked_fill(absent, -1.0), distance.masked_fill(absent, FARTHEST)
        alike.append(similarity.amax(dim=1))
        distances.append(distance.amin(dim=1))
    return torch.cat(alike, dim=1), torch.exp(-torch.cat(distances, dim=1).clamp(max=FARTHEST))


def _rows(x: Tensor) -> Tensor:
    """(B, C, D, H, W) -> (B, D·H·W, C), a view when channels come last."""
    return x.permute(0, 2, 3, 4, 1).flatten(1, 3)


class CompactMaskDecoder(nn.Module):
    """Pyramid + prompt maps -> mask logits at stride 2 and the IoU that each mask is expected to reach."""

    def __init__(
        self, in_channels: int, encoder_widths: tuple[int, ...], widths: tuple[int, ...], match_width: int, masks: int
    ) -> None:
        super().__init__()
        prompt_channels = PROMPT_MAPS + MATCH_MAPS
        self.matchers = nn.ModuleList(ClickMatcher(c, match_width, in_channels) for c in encoder_widths)
        self.reduce = nn.ModuleList(_conv(c, w, 1) for c, w in zip(encoder_widths, widths, strict=True))
        self.mix = nn.ModuleList(_conv(w + prompt_channels, w, 1) for w in widths)
        self.blocks = nn.ModuleList(ResidualBlock(w) for w in widths[1:])
        self.up = nn.ModuleList(_conv(coarse, fine, 1) for fine, coarse in zip(widths, widths[1:], strict=False))
        self.last_norm, self.last_conv = _norm(widths[0]), _conv(widths[0], widths[0])
        self.head = _conv(widths[0], masks, 1)
        self.shortcut = nn.Conv3d(prompt_channels, masks, 1, bias=False)
        self._start_from_the_prompts()
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
        """What the decoder needs from the input and its pyramid at every click, computed once."""
        tissue = [F.avg_pool3d(x, 2)]
        for _ in STRIDES[1:]:
            tissue.append(F.avg_pool3d(tissue[-1], 2))
        tissue[0] = F.avg_pool3d(tissue[0], 3, stride=1, padding=1, count_include_pad=False)  # calms the noise
        return {
            "tissue": tissue,
            "features": [reduce(f) for reduce, f in zip(self.reduce, features, strict=True)],
            "matches": [matcher.prepare(f) for matcher, f in zip(self.matchers, features, strict=True)],
        }

    def forward(self, embedding: dict[str, list[Tensor]], sparse: Tensor, dense: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Embedding, clicks (B, N, 4), prompt maps per stride -> logits (B, M, D/2, H/2, W/2), iou (B, M)."""
        x, coarsest, quarter = None, None, None
        for level in reversed(range(len(STRIDES))):
            feature = embedding["features"][level]
            prompts = torch.cat([dense[level], self.match(embedding, sparse, level).to(feature.dtype)], dim=1)
            mixed = self.mix[level](torch.cat([feature, prompts], dim=1))
            x = mixed if x is None else mixed + upsample(self.up[level](x))
            if level:
                x = self.blocks[level - 1](x)
            if level == 3:
                coarsest = x
            elif level == 1:
                quarter = x
        x = x + self.last_conv(F.silu(self.last_norm(x)))
        logits = self.head(F.silu(x)) + self.shortcut(prompts)
        return logits, self._predict_iou(logits, quarter, coarsest)

    def match(self, embedding: dict[str, list[Tensor]], sparse: Tensor, level: int) -> Tensor:
        """The match maps of one level of the pyramid."""
        return self.matchers[level](
            embedding["matches"][level],
            embedding["tissue"][level],
            sparse[..., :3],
            sparse[..., 3],
            stride=STRIDES[level],
        )

    def _predict_iou(self, logits: Tensor, quarter: Tensor, coarsest: Tensor) -> Tensor:
        """Pooled features inside each mask, and how sure the mask is of itself, -> (B, M) in [0, 1]."""
        probability = F.avg_pool3d(torch.sigmoid(logits.detach().float()), 2)  # (B, M, D/4, H/4, W/4)
        size = probability.sum(dim=(2, 3, 4))  # (B, M)
        inside = torch.einsum("bmdhw,bcdhw->bmc", probability, quarter.float()) / (size[..., None] + 1.0)
        context = coarsest.float().mean(dim=(2, 3, 4))[:, None].expand(-1, inside.shape[1], -1)
        sure = probability.square().sum(dim=(2, 3, 4)) / (size + 1e-3)
        voxels = probability[0, 0].numel()
        facts = torch.stack([sure, torch.log1p(size) / 10.0, size / voxels], dim=-1)  # (B, M, 3)
        return torch.sigmoid(self.iou_head(torch.cat([inside, context, facts], dim=-1))).squeeze(-1)


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
        """Clicks and the previous logits as tokens and maps.

        points (B, N, 3) in window voxels, labels (B, N) with 1 foreground, 0 background, -1 padding, mask_logits
        (B, 1, D/2, H/2, W/2) or None; `grid` is the stride-2 grid, of `window` where neither is given
        -> sparse (B, N, 4), dense: four (B, 6, ...) maps.
        """
        if mask_logits is not None:
            grid = tuple(mask_logits.shape[2:])
        grid = grid or (self.window // STRIDES[0],) * 3
        dense = []
        previous = None
        if mask_logits is not None:
            previous = torch.tanh(mask_logits.to(points.dtype) / LOGIT_LIMIT)
        for level, stride in enumerate(STRIDES):
            size = tuple(axis >> level for axis in grid)
            maps = []
            for label in (1, 0):
                maps += click_maps(points, labels == label, size, stride=stride, sigmas=CLICK_WIDTHS[stride])
            if previous is None:
                memory = points.new_zeros((points.shape[0], 2, *size))
            else:
                if level:
                    previous = F.avg_pool3d(previous, 2)
                memory = torch.cat([previous, torch.ones_like(previous)], dim=1)
            dense.append(torch.cat([torch.stack(maps, dim=1), memory], dim=1))
        return torch.cat([points, labels.to(points.dtype)[..., None]], dim=-1), dense

    def decode_masks(
        self, embedding: dict[str, list[Tensor]], sparse: Tensor, dense: list[Tensor], *, multimask: bool | None = None
    ) -> tuple[Tensor, Tensor]:
        """-> logits (B, M, D/2, H/2, W/2), iou (B, M).

        multimask None gives all four (the single mask first), False the single one, True the three alternatives.
        """
        dtype = embedding["features"][0].dtype
        logits, iou = self.mask_decoder(embedding, sparse, [d.to(dtype) for d in dense])
        if multimask is None:
            return logits, iou
        chosen = slice(1, None) if multimask else slice(0, 1)
        return logits[:, chosen], iou[:, chosen]

    def match_masks(self, embedding: dict[str, list[Tensor]], sparse: Tensor) -> list[Tensor]:
        """Logits (B, 1, ...) at strides 2, 4, 8, 16 of what looks like the clicks: a target for training only."""
        matchers = self.mask_decoder.matchers
        return [m.mask(self.mask_decoder.match(embedding, sparse, level)) for level, m in enumerate(matchers)]
