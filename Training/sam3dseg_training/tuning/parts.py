"""Which parts of a network are trained: `tune=lora|full|decoder|encoder`.

A regimen of two stages is two commands, the second with `init=` the first's folder: a union of data sets and then those
that matter, `fit data=union out=A tune=full` and `fit data=mine out=B init=A`; or as MedSAM (Ma et al., 2024) the image
encoder first and then all, `fit data=mine out=A tune=encoder` and `fit data=mine out=B tune=full init=A`.
"""

from __future__ import annotations

import logging

from torch import nn

from ..configs.fit import TUNES, LoraConfig
from .lora import add_adapters

logger = logging.getLogger(__name__)

ENCODER, DECODER = "encoder", "decoder"  # groups of parameters; the prompt encoder belongs to the decoder
# The embedding for "no mask" of SAM-Med3D is never read, as its first prompt comes with a mask of zeros.
UNREAD = ("prompt_encoder.no_mask_embed.weight",)


def prepare_network(
    network: nn.Module, tune: str, lora: LoraConfig, *, frozen: tuple[str, ...] = UNREAD
) -> dict[str, list[nn.Parameter]]:
    """Freeze what is not trained, put adapters in for "lora" -> trainable parameters: "encoder" and "decoder".

    frozen: beginnings of the names of parameters that stay as they are in every case.  The network is changed in
    place; a group without trainable parameters is absent.  Logs the trainable share.
    Raises ValueError for an unknown `tune`.
    """
    if tune not in TUNES:
        raise ValueError(f"tune must be one of {', '.join(TUNES)}, not {tune!r}")
    if tune == "lora":
        add_adapters(network, lora, frozen=frozen)
    for name, value in network.named_parameters():
        if tune != "lora":
            value.requires_grad_(tune in ("full", part_of(name)))
        if name.startswith(frozen):
            value.requires_grad_(False)
    keep_frozen_in_eval(network)
    groups: dict[str, list[nn.Parameter]] = {}
    for name, value in network.named_parameters():
        if value.requires_grad:
            groups.setdefault(part_of(name), []).append(value)
    logger.info(share_line(network))
    return groups


def part_of(name: str) -> str:
    """The group that a parameter belongs to, by its name in the network."""
    return ENCODER if name.startswith("image_encoder.") else DECODER


def keep_frozen_in_eval(network: nn.Module) -> None:
    """Training mode for what is trained, evaluation mode for every module without a trainable parameter."""
    for module in network.modules():
        module.training = any(value.requires_grad for value in module.parameters())


def share_line(network: nn.Module) -> str:
    """How much of the network is trained, in words."""
    counts = {ENCODER: 0, DECODER: 0}
    total = 0
    for name, value in network.named_parameters():
        total += value.numel()
        if value.requires_grad:
            counts[part_of(name)] += value.numel()
    trained = sum(counts.values())
    return (
        f"training {trained:,} of {total:,} parameters ({100 * trained / total:.1f} %): {counts[ENCODER]:,} in the "
        f"image encoder, {counts[DECODER]:,} in the prompt encoder and the decoder"
    )
