"""The training loop: any objective, on any number of devices, that goes on after a stop as if there had been none."""

from __future__ import annotations

import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from .configs.optim import ComputeConfig, OptimConfig, RecordConfig, ValidationConfig
from .curves import Curves
from .devices import launch, summed
from .judging import Validation, judge
from .learner import Balance, Learner
from .run_state import BEST, LAST, random_state, read_state, remove_leftovers, restore_random, seed_all, write_state
from .schedule import Schedule
from .stopping import Interruption, Patience, StoppedError

logger = logging.getLogger(__name__)

MOST_LEFT_OUT = 5  # steps in a row

Batches = Callable[[int], Iterator[dict[str, Any]]]  # first sample -> this process's batches from there, without end


@dataclass(frozen=True, slots=True)
class LoopConfig:
    """How long and how hard to train: for `minutes` of training time, or for `steps` when that is not 0."""

    minutes: float = 60.0
    steps: int = 0
    seed: int = 0
    optim: OptimConfig = field(default_factory=OptimConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    validate: ValidationConfig = field(default_factory=ValidationConfig)
    record: RecordConfig = field(default_factory=RecordConfig)


class Trainer:
    """Trains `objective(batch, numbers, draw=) -> (loss, measures)`, a module whose `network` holds what is wanted.

    groups: parameters by name ("encoder", "decoder", …), each with its own rate; balance: parameters of the objective
    that weigh the loss, with a rate of their own.  A batch holds "number" (B,), the global sample numbers.
    With validation, `objective(batch, numbers, rounds=) -> (loss, measures)` judges the averaged weights.
    The run folder holds `last.pt`, `best.pt`, `curve.csv`, `curve.png` and events for TensorBoard.
    """

    def __init__(
        self,
        objective: nn.Module,
        groups: Mapping[str, Sequence[nn.Parameter]],
        config: LoopConfig,
        folder: Path,
        *,
        fabric: Fabric | None = None,
        balance: Balance = ((), 0.0),
    ) -> None:
        self.config, self.folder = config, folder
        self.fabric = fabric or launch(config.compute)
        self.learner = Learner(self.fabric, objective, groups, optim=config.optim, balance=balance)
        self.schedule = Schedule(config.minutes, config.steps, config.optim)
        self.patience = Patience(config.validate.patience)
        self.step, self.sample, self.seconds = 0, 0, 0.0
        self._left_out = 0  # steps in a row
        self._saved = (0, 0.0)  # step and seconds
        self._sums: dict[str, float] = defaultdict(float)  # since the last row of the curves
        self._random: list[dict[str, Any]] = []
        self._curves: Curves | None = None
        if self.fabric.is_global_zero:
            folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(folder)

    @property
    def progress(self) -> float:
        """Share of the schedule that is behind, 0 to 1."""
        return self.schedule.progress(self.step, self.seconds)

    @property
    def is_over(self) -> bool:
        """Whether the schedule has ended, or nothing got better for too long."""
        return self.progress >= 1 or self.patience.is_over

    def run(self, batches: Batches, validation: Validation | None = None) -> None:
        """Train until it is over.

        Raises ValueError when the loss is no longer a number, StoppedError after saving when a signal asked for a stop,
        and OSError when the last save fails.
        """
        if self.is_over:
            return
        with Interruption() as interruption:
            stream = batches(self.sample)
            if self.fabric.is_global_zero:
                self._curves = Curves(self.folder, self.step, tensorboard=self.config.record.tensorboard)
            self._start_random()  # after the streams, whose makers draw random numbers too
            self._saved, stop, clock = (self.step, self.seconds), 0, time.monotonic()
            every = self.config.validate.every if validation is not None else 0
            while not self.is_over and not stop:
                measures = self._train(stream)
                elapsed, clock = time.monotonic() - clock, time.monotonic()
                stop = self._agree(measures, elapsed, interruption.signal)
                self._update(measures)
                self._log(measures)
                if validation is not None and every and (self.step % every == 0 or self.is_over):
                    self.validate(validation)
                if self._is_time_to_save():
                    self._save_if_possible()
            self.seconds += time.monotonic() - clock
            self._save_at_the_end()
            if self._curves is not None:
                self._curves.close()
        if stop:
            raise StoppedError(f"stopped and saved at step {self.step}; the same command goes on", stop)

    def _train(self, stream: Iterator[dict[str, Any]]) -> dict[str, float]:
        """Forward and backward of all batches of one step -> means of the measures, and the seconds of waiting."""
        turns = self.config.optim.accumulate
        self.learner.set_rates(self.schedule, self.progress)
        sums: dict[str, float] = defaultdict(float)
        for turn in range(turns):
            started = time.monotonic()
            batch = next(stream)
            sums["waiting"] += time.monotonic() - started
            draw = self.step * turns + turn
            measures = self.learner.backward(batch, draw=draw, share=1 / turns, is_last=turn + 1 == turns)
            for name, value in measures.items():
                sums[name] += value / turns
            self.sample += len(batch["number"]) * self.fabric.world_size
        return sums

    def _agree(self, measures: dict[str, float], seconds: float, signal: int) -> int:
        """Average the measures over the processes and take the time of the first -> the signal that any of them got."""
        measures["seconds"] = seconds
        if self.fabric.world_size > 1:
            own_time = seconds if self.fabric.is_global_zero else 0.0
            values = torch.tensor([*measures.values(), own_time, signal], dtype=torch.float64)
            values = summed(self.fabric, values)
            measures.update(zip(measures, (values[:-2] / self.fabric.world_size).tolist(), strict=True))
            seconds, signal = float(values[-2]), int(values[-1])
        self.seconds += seconds
        return signal

    def _update(self, measures: dict[str, float]) -> None:
        """Take the step; raises ValueError before anything is spoilt when the loss or many gradients are no number."""
        if not math.isfinite(measures["loss"]):
            raise ValueError(self._not_a_number(f"the loss became {measures['loss']}"))
        measures["norm"] = self.learner.update(self.step + 1)
        if math.isfinite(measures["norm"]):
            self._left_out = 0
        else:
            self._left_out += 1
            if self._left_out > MOST_LEFT_OUT and not self.learner.is_scaled:
                raise ValueError(self._not_a_number(f"the gradient was {measures['norm']} for {MOST_LEFT_OUT} steps"))
            logger.warning("step %d is left out, as its gradient is %s", self.step + 1, measures["norm"])
            measures["norm"] = 0.0
        self.step += 1

    def _not_a_number(self, what: str) -> str:
        rate = f"optim.rate={self.config.optim.rate / 3:.1g}"
        remedy = f"compute.precision=bf16 or {rate}" if self.config.compute.precision == "fp16" else rate
        return f"{what} at step {self.step}; {LAST} is from before that: give the same command with {remedy}"

    def validate(self, validation: Validation) -> float:
        """Judge the averaged weights and keep them as best.pt when there were no better ones; -> mean loss."""
        means = judge(self.learner, validation, clicks=self.config.validate.clicks)
        if self.patience.is_better(means["loss"]):
            self._save_best()
        if self._curves is not None:
            self._curves.record({"step": self.step} | {f"val_{name}": round(v, 5) for name, v in means.items()})
            self._curves.draw()
            logger.info("validation " + " ".join(f"{name} {value:.4f}" for name, value in means.items()))
        return means["loss"]

    def _log(self, measures: Mapping[str, float]) -> None:
        """Add to the sums since the last row; write a row when it is time."""
        for name, value in measures.items():
            self._sums[name] += value
        self._sums["steps"] += 1
        if self.step % self.config.record.every:
            return
        sums, self._sums = self._sums, defaultdict(float)
        count, waiting, seconds = (sums.pop(name) for name in ("steps", "waiting", "seconds"))
        rate = self.schedule.rate(self.progress)
        row: dict[str, Any] = {"step": self.step, "minutes": round(self.seconds / 60, 2), "rate": f"{rate:.2e}"}
        row |= {name: round(value / count, 5) for name, value in sums.items()}
        row |= {"steps_per_s": round(count / max(seconds, 1e-9), 3), "waiting": round(waiting / max(seconds, 1e-9), 3)}
        if self._curves is not None:
            self._curves.record(row)
            logger.info(" ".join(f"{name} {value}" for name, value in row.items()))

    def _is_time_to_save(self) -> bool:
        record, (step, seconds) = self.config.record, self._saved
        if record.save_steps:
            return self.step - step >= record.save_steps
        return self.seconds - seconds > 60 * record.save_minutes

    def _save_if_possible(self) -> None:
        self._saved = self.step, self.seconds
        try:
            self.save()
        except OSError as error:
            logger.warning("%s; training goes on, and saves again later", error)

    def _save_at_the_end(self) -> None:
        """Save; all processes hear of a failure, and none goes on before the others are done."""
        failure = ""
        try:
            self.save()
        except OSError as error:
            failure = str(error)
        if self.fabric.world_size > 1:
            failure = self.fabric.broadcast(failure)
            # A thread of gloo may still hold a tensor of the last exchange: Python must not end before it lets go.
            self.fabric.barrier()
        if failure:
            raise OSError(failure)

    def _save_best(self) -> None:
        state = {"average": self.learner.averaged(), **self._position()}
        if self.fabric.is_global_zero:
            try:
                write_state(self.folder / BEST, state)
            except OSError as error:
                logger.warning("%s; the best weights so far are in memory only", error)

    def save(self) -> None:
        """Write last.pt in one step; raises OSError when that fails, and the file is what it was."""
        state = {**self.learner.state(), **self._position(), "sums": dict(self._sums), "random": self._all_random()}
        if self.fabric.is_global_zero:
            write_state(self.folder / LAST, state)

    def resume(self) -> bool:
        """Take up last.pt where there is one; False when the run is new.  Raises ValueError when it does not fit."""
        path = self.folder / LAST
        if not path.exists():
            return False
        state = read_state(path)
        self.learner.load(state, path)
        self.step, self.sample, self.seconds = state["step"], state["sample"], state["seconds"]
        self.patience.best, self.patience.waited = state["best"], state["waited"]
        self._random = state["random"]
        self._sums.update(state["sums"])
        return True

    def _position(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "sample": self.sample,
            "seconds": self.seconds,
            "best": self.patience.best,
            "waited": self.patience.waited,
        }

    def _all_random(self) -> list[dict[str, Any]]:
        """The states of the random number generators of every process."""
        states = [random_state()] * self.fabric.world_size
        if self.fabric.world_size > 1:
            torch.distributed.all_gather_object(states, random_state())
        return states

    def _start_random(self) -> None:
        """Random numbers where the run left off, or of this process's own where it is new."""
        rank = self.fabric.global_rank
        if rank < len(self._random):
            restore_random(self._random[rank])
        else:
            seed_all(self.config.seed + rank)
