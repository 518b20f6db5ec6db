"""How the simulated user of a training behaves."""

from __future__ import annotations

from dataclasses import dataclass

from .options import option


@dataclass(frozen=True, slots=True)
class ClickConfig:
    """The prompts of a training sample, round by round."""

    rounds: int = option(6, "most rounds per target; the number is drawn anew for every step", least=1)
    random_share: float = option(0.4, "share of clicks anywhere in the error, not at its middle", least=0, most=1)
    forget_share: float = option(0.1, "share of rounds that do not get the previous logits back", least=0, most=1)
    closer_share: float = option(0.0, "share of first answers given again after a coarse view of themselves, as in a "
                                 "closer look; for networks that take any spacing", least=0, most=1)  # fmt: skip
    jitter: float = option(0.5, "how far a click misses its place, in window voxels", least=0)
    extra: float = option(0.1, "share of first prompts with one or two more positive clicks", least=0, most=1)
    box_share: float = option(0.0, "share of first prompts that are the middle of a loose box; 0.1 for users who draw "
                              "boxes", least=0, most=1)  # fmt: skip
    looseness: float = option(0.1, "how far a face of a loose box may be off, in box sides", least=0, most=1)
