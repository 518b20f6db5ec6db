"""Training by clicks: a simulated user corrects the network's mask, round by round, on one encoding."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sam3dseg.weighing import FEATURES, Changes, believed, changes, levelled

from .configs.clicks import ClickConfig
from .configs.losses import LossConfig
from .losses import (
    deep_supervision_loss,
    deep_supervision_weights,
    dice_loss,
    hard_dice,
    iou_loss,
    mask_loss,
    multi_choice_loss,
    sdf_loss,
    soft_iou,
)
from .training_user import PATIENT, TrainingUser
from .tuning.parts import keep_frozen_in_eval
from .weighting import AdaptiveWeights, FixedWeights

SURE = 20.0  # logit of a cell that no change is thought of for
CLICK_STREAM, ROUND_STREAM = 0, 1  # independent random numbers from one seed
Patient = Callable[[dict[str, Any], int], TrainingUser]  # batch, target -> its user


def encode_features(network: Any, image: Tensor) -> Any:
    """Windows (B, C, n, n, n) or slices (B, C, n, n) -> what the image encoder makes of them.

    Without gradients when the encoder is frozen.
    """
    encoder = network.image_encoder
    trains = torch.is_grad_enabled() and any(value.requires_grad for value in encoder.parameters())
    layout = torch.channels_last_3d if image.ndim == 5 else torch.channels_last
    with torch.set_grad_enabled(trains):
        return encoder(image.contiguous(memory_format=layout))


def embedding_of(network: Any, image: Tensor | None, features: Any) -> Any:
    """What the decoder reads: the features, and for the compact network what it prepares of them and the image."""
    prepare = getattr(network.mask_decoder, "prepare", None)
    return features if prepare is None else prepare(image, features)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What may change by a click, and the judge's logits (K,); None where nothing may."""

    found: Changes | None
    belief: Tensor | None


def _change_loss(judgements: Sequence[Judgement], fed: Tensor, target: Tensor) -> Tensor:
    """Dice loss of the masks that come of what the judge says of every change (B, 1, m, ...).

    What they are worse than the masks before counts twice: a click that takes away costs trust as well as clicks.
    """
    losses = []
    for b, j in enumerate(judgements):
        if j.found is None or j.belief is None:
            continue
        sure = torch.where(fed[b : b + 1] > 0, SURE, -SURE)
        cells = torch.from_numpy(j.found.cells).to(target.device)
        mask = sure.flatten().index_put((cells,), -sure.flatten()[cells].sign() * j.belief)
        before, after = (dice_loss(m.view_as(sure), target[b : b + 1]).mean() for m in (sure, mask))
        losses.append(after + F.relu(after - before))
    return torch.stack(losses).sum() / len(judgements) if losses else target.new_zeros(())


def seen_from_afar(logits: Tensor | None, rng: np.random.Generator) -> Tensor | None:
    """Logits (B, 1, m, m, m) as a wider window would have shown them: two or three times coarser, and less sure."""
    if logits is None:
        return None
    coarse = F.interpolate(logits, scale_factor=1 / int(rng.integers(2, 4)), mode="area")
    seen = F.interpolate(coarse, size=logits.shape[2:], mode="trilinear")
    return seen * rng.uniform(0.6, 1.0) + rng.uniform(-1.0, 1.0)


class ClickObjective(nn.Module):
    """A network together with what it is trained for, as one module: one forward per step, on any number of devices.

    stride: window voxels per cell of the logits; starts_from_zeros: the first prompt comes with an all-zero mask; both
    as the architecture's traits say.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        clicks: ClickConfig,
        loss: LossConfig,
        seed: int,
        stride: int = 2,
        starts_from_zeros: bool = False,
    ) -> None:
        super().__init__()
        self.network: Any = network
        self.clicks, self.loss, self.seed = clicks, loss, seed
        self.stride, self.starts_from_zeros = stride, starts_from_zeros
        self.has_matches = loss.match > 0 and hasattr(network, "match_masks")
        self.has_judge = hasattr(network, "judge_changes")
        weights = {name: getattr(loss, name) for name in ("mask", "multi", "iou", "drop", "sdf")}
        weights["match"] = loss.match if self.has_matches else 0.0
        weights["changes"] = loss.changes if self.has_judge else 0.0
        self.weighting = AdaptiveWeights(weights) if loss.adaptive else FixedWeights(weights)

    def train(self, mode: bool = True) -> ClickObjective:
        """As every module's, but what is frozen stays in evaluation mode."""
        super().train(mode)
        if mode:
            keep_frozen_in_eval(self.network)
        return self

    def forward(
        self, batch: dict[str, Any], numbers: Sequence[int], *, draw: int = 0, rounds: int = 0
    ) -> tuple[Tensor, dict[str, float]]:
        """Mean loss of a batch and what is worth knowing of it.

        batch: image (B, C, n, n, n), targets (B, T, m, m, m) in [0, 1], and where the loss asks for it sdf (B, T, m, m,
        m) in mm; `features` in place of what the image encoder gives, if that was computed before.
        numbers: (B,) which samples these are, draw: which batch: all random choices follow from them and the seed.
        rounds: 0 trains; otherwise so many patient clicks are judged, and the loss is one minus their mean Dice.
        """
        if rounds:
            with torch.no_grad():
                return self.judge(self.embed(batch), batch, rounds)
        embedding = self.embed(batch)
        shared = np.random.default_rng((self.seed, ROUND_STREAM, draw))
        turns = int(shared.integers(1, self.clicks.rounds + 1))
        terms: dict[str, list[Tensor]] = defaultdict(list)
        first, last, steps = [], [], 0
        for index in range(batch["targets"].shape[1]):
            target = batch["targets"][:, index : index + 1]
            distance = self._distance(batch, index)
            rngs = [np.random.default_rng((self.seed, CLICK_STREAM, int(number), index)) for number in numbers]
            user = self.user(batch, index, rngs, shared)
            dice = self._train_target(embedding, target, distance, user, shared, turns, terms)
            first.append(dice[0])
            last.append(dice[-1])
            steps += len(dice)
        means = {name: torch.stack(values).sum() / steps for name, values in terms.items()}
        measures = {"dice_first": float(np.mean(first)), "dice_last": float(np.mean(last)), "rounds": float(turns)}
        return self.weighting(means), measures

    def embed(self, batch: dict[str, Any]) -> Any:
        """What the decoder reads, from the image or from encodings made before."""
        features = batch["features"] if "features" in batch else encode_features(self.network, batch["image"])
        return embedding_of(self.network, batch.get("image"), features)

    def _distance(self, batch: dict[str, Any], index: int) -> Tensor | None:
        """The signed distances of one target (B, 1, m, m, m) in mm, where the loss asks for them."""
        if self.loss.sdf == 0:
            return None
        if "sdf" not in batch:
            raise ValueError(f"loss.sdf={self.loss.sdf} needs signed distances: prepare the data with sdf=true")
        return batch["sdf"][:, index : index + 1]

    def _train_target(
        self,
        embedding: Any,
        target: Tensor,
        distance: Tensor | None,
        user: TrainingUser,
        shared: np.random.Generator,
        turns: int,
        terms: dict[str, list[Tensor]],
    ) -> list[float]:
        """Click one target (B, 1, m, ...) for some turns; adds to the terms and gives the Dice after every turn."""
        previous: Tensor | None = None
        reached: Tensor | None = None  # Dice loss of the mask before the click
        dice = []
        asks = [True] * turns
        if self.clicks.closer_share and shared.random() < self.clicks.closer_share:
            asks.insert(1, False)  # a closer look: the same clicks, after what could be seen from further away
        for is_asked in asks:
            if is_asked:
                asked = self.ask(user, previous, target)
                fed = None if previous is None or shared.random() < self.clicks.forget_share else previous
            else:
                fed = seen_from_afar(previous, shared)
            sparse, dense = self.prompts(asked, fed, target)
            logits, iou = self.network.decode_masks(embedding, sparse, dense)
            logits = logits.float()
            self._add_mask_terms(terms, logits, iou.float(), target)
            now = dice_loss(logits[:, :1], target)
            if reached is not None and fed is not None and self.loss.drop > 0:
                terms["drop"].append(F.relu(now - reached).mean())
            if distance is not None:
                terms["sdf"].append(sdf_loss(logits[:, :1], distance).mean())
            answer = logits[:, :1].detach()
            previous = answer
            if is_asked and fed is not None and self.has_judge:
                judgements, previous = self._judged(user, fed, answer)
                terms["changes"].append(_change_loss(judgements, fed, target))
            reached = dice_loss(previous, target)
            dice.append(float(hard_dice(previous, target).mean()))
        if self.has_judge:  # every weight has a part in every step, as several devices want it
            terms["changes"].append(0 * self.network.judge_changes(target.new_zeros(1, len(FEATURES))).sum())
        if self.has_matches:
            outputs = self.network.match_masks(embedding, sparse)
            halving = self.loss.match_levels == "halving"
            levels = deep_supervision_weights(len(outputs)) if halving else (1.0,) * len(outputs)
            terms["match"].append(len(dice) * deep_supervision_loss(outputs, target, levels))
        return dice

    def _add_mask_terms(self, terms: dict[str, list[Tensor]], logits: Tensor, iou: Tensor, target: Tensor) -> None:
        """Single mask, best of the alternatives, and predicted IoU: logits (B, 4, ...), iou (B, 4)."""
        masks = mask_loss(logits, target, self.loss.kind)  # (B, 4)
        terms["mask"].append(masks[:, 0].mean())
        terms["multi"].append(multi_choice_loss(masks[:, 1:]).mean())
        if self.loss.iou > 0:
            terms["iou"].append(iou_loss(iou, soft_iou(logits.detach(), target), self.loss.iou_kind).mean())

    def user(
        self, batch: dict[str, Any], index: int, rngs: list[np.random.Generator], shared: np.random.Generator
    ) -> TrainingUser:
        """Who prompts for target `index`; what the batch has in common is drawn from `shared`."""
        return TrainingUser(rngs, batch["targets"][:, index : index + 1], self.clicks, self.stride)

    def ask(self, user: TrainingUser, previous: Tensor | None, target: Tensor) -> Any:
        """What the user says of the last logits (B, 1, m, ...): clicks (B, N, 3), (B, N), on the target's device."""
        points, labels = user.click(previous)
        return points.to(target.device), labels.to(target.device)

    def prompts(self, asked: Any, fed: Tensor | None, target: Tensor) -> tuple[Tensor, Any]:
        """Encode what `ask` gave, and the logits fed back (B, 1, m, m, m) or None."""
        points, labels = asked
        if fed is None and self.starts_from_zeros:
            fed = torch.zeros_like(target)
        if fed is not None:
            return self.network.encode_prompts(points, labels, fed)
        return self.network.encode_prompts(points, labels, None, grid=tuple(target.shape[2:]))

    def corrected(self, user: TrainingUser, fed: Tensor | None, answer: Tensor) -> Tensor:
        """The mask that the user sees next (B, 1, m, ...), from the one before the latest click and its answer."""
        if fed is None or not self.has_judge:
            return answer
        return self._judged(user, fed, answer)[1]

    def _judged(self, user: TrainingUser, fed: Tensor, answer: Tensor) -> tuple[list[Judgement], Tensor]:
        """What the judge says of every window's changes by its latest click, and the masks (B, 1, m, ...) of that."""
        judgements, merged = [], []
        for before, raw, click in zip(fed[:, 0].cpu().numpy(), answer[:, 0].cpu().numpy(), user.latest(), strict=True):
            after = levelled(before, raw)
            found = changes(before, after, *click)
            belief = None
            if found is not None:
                belief = self.network.judge_changes(torch.from_numpy(found.features).to(answer.device))
            judgements.append(Judgement(found, belief))
            merged.append(
                believed(before, after, click[0], found, None if belief is None else belief.detach().cpu().numpy())
            )
        return judgements, torch.from_numpy(np.stack(merged)[:, None]).to(answer.device)

    def judge(self, embedding: Any, batch: dict[str, Any], rounds: int) -> tuple[Tensor, dict[str, float]]:
        """Dice after every one of `rounds` patient clicks, as an evaluation would make them."""
        dice = self.judged(embedding, batch, rounds, self.patient_user)
        measures = {f"dice_{turn + 1}": float(value) for turn, value in enumerate(dice)}
        return 1 - torch.tensor(dice.mean(), dtype=torch.float32), measures

    def judged(self, embedding: Any, batch: dict[str, Any], rounds: int, patient: Patient) -> np.ndarray:
        """Mean Dice (rounds,) over all targets after every answer to the user that `patient` gives for each."""
        dice = np.zeros(rounds)
        count = batch["targets"].shape[1]
        for index in range(count):
            target = batch["targets"][:, index : index + 1]
            user, previous = patient(batch, index), None
            for turn in range(rounds):
                sparse, dense = self.prompts(self.ask(user, previous, target), previous, target)
                answer = self.network.decode_masks(embedding, sparse, dense)[0][:, :1].float()
                previous = self.corrected(user, previous, answer)
                dice[turn] += float(hard_dice(previous, target).mean()) / count
        return dice

    def patient_user(self, batch: dict[str, Any], index: int) -> TrainingUser:
        """The user of an evaluation, for target `index`."""
        target = batch["targets"][:, index : index + 1]
        return TrainingUser([np.random.default_rng(0) for _ in target], target, PATIENT, self.stride)
