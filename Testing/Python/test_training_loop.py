"""The training loop on a toy: schedule, averaging, validation, stopping, and what it does when something is wrong."""

from __future__ import annotations

import math
import os
import resource
import signal

import numpy as np
import pytest
import torch
from toy_training import ToyObjective, settings, toy_batches, toy_trainer, toy_validation, train

from sam3dseg.families import PROPOSALS
from sam3dseg_training.averaging import Average
from sam3dseg_training.configs.fit import FitConfig
from sam3dseg_training.configs.optim import ComputeConfig, OptimConfig, RecordConfig, ValidationConfig
from sam3dseg_training.curves import Curves, read_rows
from sam3dseg_training.devices import launch
from sam3dseg_training.loop import Trainer
from sam3dseg_training.memory import advice, explained
from sam3dseg_training.run_state import read_state, write_state
from sam3dseg_training.schedule import Schedule
from sam3dseg_training.stopping import Patience, StoppedError


def column(folder, name: str) -> list[float]:
    return [float(row[name]) for row in read_rows(folder) if row.get(name)]


def test_a_run_learns_and_leaves_weights_curves_and_a_picture(tmp_path):
    train(tmp_path, settings(60, record=RecordConfig(every=5)))
    errors = column(tmp_path, "error")
    assert len(errors) == 12 and errors[-1] < 0.3 * errors[0]
    assert {"step", "minutes", "rate", "loss", "norm", "steps_per_s", "waiting"} <= read_rows(tmp_path)[0].keys()
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert list((tmp_path / "tensorboard").glob("events.*"))
    best, last = read_state(tmp_path / "best.pt"), read_state(tmp_path / "last.pt")
    assert best["average"].keys() == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert last["step"] == 60 and last["sample"] == 240
    assert best["best"] == pytest.approx(min(column(tmp_path, "val_loss")), abs=1e-5)


def test_warm_up_and_cosine():
    schedule = Schedule(steps=100, optim=OptimConfig(rate=1.0, warmup=0.1, final=0.2, decoder=0.5, encoder_first=0.4))
    assert schedule.progress(25, 1e9) == 0.25 and Schedule(minutes=2).progress(7, 60) == 0.5
    assert schedule.rate(0.0) == 0.01 and schedule.rate(0.05) == pytest.approx(0.5)
    assert schedule.rate(0.1) == pytest.approx(1.0)
    assert schedule.rate(0.55) == pytest.approx(0.2 + 0.8 * 0.5)  # half way down
    assert schedule.rate(1.0) == pytest.approx(0.2)
    assert schedule.rate_of("encoder", 0.2) == schedule.rate(0.2) and schedule.rate_of("decoder", 0.2) == 0
    assert schedule.rate_of("decoder", 0.55) == pytest.approx(0.3)
    assert Schedule(steps=4, optim=OptimConfig(rate=1.0, warmup=1.0)).rate(1.0) == 1.0


def test_the_encoder_is_trained_alone_at_first(tmp_path):
    trainer = toy_trainer(
        tmp_path, settings(4, optim=OptimConfig(encoder_first=0.5, warmup=0), validate=ValidationConfig(0))
    )
    before = {name: value.detach().clone() for name, value in trainer.learner.parameters.items()}
    stream = toy_batches(4)(0)
    for _ in range(2):
        trainer._update(trainer._train(stream))
    moved = {name for name, value in trainer.learner.parameters.items() if not torch.equal(value, before[name])}
    assert moved == {"network.0.weight", "network.0.bias"}
    trainer._update(trainer._train(stream))
    assert not torch.equal(trainer.learner.parameters["network.2.weight"], before["network.2.weight"])


def test_the_average_follows_the_weights_and_is_put_in_place_for_a_while():
    weight = torch.nn.Parameter(torch.zeros(2))
    average = Average({"w": weight}, decay=0.5)
    with torch.no_grad():
        weight.fill_(1.0)
    average.update(1)  # (1 + 1) / (10 + 1) is less than 0.5
    assert average.values["w"].tolist() == pytest.approx([9 / 11] * 2)
    average.update(100)
    assert average.values["w"].tolist() == pytest.approx([1 - 1 / 11] * 2)
    with average.in_place():
        assert weight.tolist() == pytest.approx([1 - 1 / 11] * 2)
    assert weight.tolist() == [1.0, 1.0] and average.values["w"].tolist() == pytest.approx([1 - 1 / 11] * 2)


def test_two_accumulated_batches_are_one_of_twice_the_size(tmp_path):
    once = train(tmp_path / "once", batch=8)
    twice = train(tmp_path / "twice", settings(optim=OptimConfig(rate=0.02, accumulate=2)), batch=4)
    for name, value in once.learner.parameters.items():
        torch.testing.assert_close(twice.learner.parameters[name], value, atol=1e-5, rtol=1e-4)
    assert once.sample == twice.sample


def test_the_gradient_is_clipped(tmp_path):
    trainer = toy_trainer(tmp_path, settings(1, optim=OptimConfig(clip=0.01)))
    measures = trainer._train(toy_batches(4)(0))
    norm = trainer.learner.update(1)
    assert measures["loss"] > 0 and norm > 0.01  # what is reported is the norm before


def test_loss_weights_have_an_optimiser_and_a_rate_of_their_own(tmp_path):
    trainer = toy_trainer(tmp_path, settings(3))
    assert [type(optimiser).__name__ for optimiser in trainer.learner._optimisers] == ["AdamW", "Adam"]
    trainer._update(trainer._train(toy_batches(4)(0)))
    assert abs(float(trainer.learner.balance["log_variance"].detach())) == pytest.approx(0.01, rel=1e-3)
    assert "log_variance" not in trainer.learner.averaged()


def test_training_stops_when_nothing_gets_better(tmp_path):
    config = settings(40, optim=OptimConfig(rate=1e-12), validate=ValidationConfig(every=2, patience=2))
    trainer = train(tmp_path, config)
    assert trainer.step == 6  # the first is the best, then two that are no better
    again = train(tmp_path, config)
    assert again.step == 6 and again.is_over


def test_patience_counts():
    patience = Patience(2)
    assert [patience.is_better(loss) for loss in (3.0, 2.0, 2.0, 1.0, 5.0, 5.0)] == [1, 1, 0, 1, 0, 0]
    assert patience.is_over and not Patience(0, waited=99).is_over


def test_validation_judges_the_averaged_weights_and_leaves_the_rest_alone(tmp_path):
    trainer = toy_trainer(tmp_path, settings(validate=ValidationConfig(every=1)))
    for value in trainer.learner.average.values.values():
        value.zero_()
    before = {name: value.detach().clone() for name, value in trainer.learner.parameters.items()}
    loss = trainer.validate(toy_validation)
    expected = np.mean([float(batch["x"].sum(1).square().mean()) for batch in toy_validation(0, 1)])
    assert loss == pytest.approx(expected, rel=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in trainer.learner.parameters.items())
    assert trainer.learner.objective.training
    with pytest.raises(ValueError, match="nothing to validate on"):
        trainer.validate(lambda rank, world: [])


class Broken(ToyObjective):
    """Fine at first; then the loss, or only the gradient, is no number."""

    def __init__(self, what: str, first: int) -> None:
        super().__init__()
        self.what, self.first = what, first

    def forward(self, batch, numbers, *, draw=0, rounds=0):
        loss, measures = super().forward(batch, numbers, draw=draw, rounds=rounds)
        if rounds or draw < self.first:
            return loss, measures
        if self.what == "loss":
            return loss * math.nan, measures
        zero = self.network[0].weight.sum() * 0
        return loss + zero.sqrt(), measures  # 0, with an infinite slope


def broken(folder, what: str, first: int = 3, steps: int = 20) -> Trainer:
    objective = Broken(what, first)
    config = settings(steps, record=RecordConfig(every=1, save_steps=2, tensorboard=False))
    return Trainer(objective, {"all": list(objective.network.parameters())}, config, folder)


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_no_number_stops_the_run_with_the_remedy_and_spoils_nothing(tmp_path, what):
    with pytest.raises(ValueError, match=r"the (loss became|gradient was) nan .*same command with optim.rate=0.007"):
        broken(tmp_path, what).run(toy_batches(4))
    state = read_state(tmp_path / "last.pt")
    assert all(bool(value.isfinite().all()) for value in state["network"].values())


def test_a_single_bad_gradient_is_left_out(tmp_path):
    broken(tmp_path, "gradient", first=3, steps=5).run(toy_batches(4))
    assert all(bool(value.isfinite().all()) for value in read_state(tmp_path / "last.pt")["network"].values())
    assert column(tmp_path, "norm")[3:] == [0.0, 0.0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_says_how_to_go_on(tmp_path, number):
    trainer = toy_trainer(tmp_path)
    make = toy_batches(4)

    def stream(first):
        for index, batch in enumerate(make(first)):
            if index == 4:
                os.kill(os.getpid(), number)
            yield batch

    before = signal.getsignal(number)
    with pytest.raises(StoppedError, match="saved at step 5; the same command goes on") as stopped:
        trainer.run(stream)
    assert stopped.value.signal == number and signal.getsignal(number) is before
    assert read_state(tmp_path / "last.pt")["step"] == 5
    assert train(tmp_path).step == 12


@pytest.fixture
def full_disk():
    """No file may be longer than a few bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def fill(size: int = 600) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

    yield fill
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, before)


def test_a_full_disk_while_saving_loses_nothing(tmp_path, full_disk):
    record = RecordConfig(every=1, save_steps=2, tensorboard=False)
    train(tmp_path, settings(4, record=record))
    trainer = toy_trainer(tmp_path, settings(8, record=record))
    assert trainer.resume()
    full_disk()
    with pytest.raises(OSError, match="cannot write .*last.pt: .*nothing was changed"):
        trainer.run(toy_batches(4))  # the saves on the way fail too, and are not the end of it
    assert trainer.step == 8
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    assert read_state(tmp_path / "last.pt")["step"] == 4
    assert sorted(path.name for path in tmp_path.glob("*.pt")) == ["best.pt", "last.pt"]
    assert train(tmp_path, settings(8, record=record)).step == 8


def test_what_a_killed_save_left_is_removed(tmp_path):
    (tmp_path / ".1234abcd.last.pt").write_bytes(b"half")
    train(tmp_path, settings(1))
    assert not list(tmp_path.glob(".*"))


def test_another_architecture_or_base_is_refused(tmp_path):
    train(tmp_path, settings(1))
    with pytest.raises(ValueError, match=r"another architecture or tune.*0.bias: \(8,\) there, \(4,\) here"):
        toy_trainer(tmp_path, width=4).resume()
    objective = ToyObjective()
    objective.network[0].requires_grad_(False)
    decoder = {"decoder": list(objective.network[2].parameters())}
    Trainer(objective, decoder, settings(1), tmp_path / "frozen").save()
    with torch.no_grad():
        objective.network[0].weight.add_(1)
    with pytest.raises(ValueError, match="other base weights than model="):
        Trainer(objective, decoder, settings(1), tmp_path / "frozen").resume()


def test_runs_of_an_older_version_and_damaged_ones_are_refused(tmp_path):
    old = {"network": {}, "average": {}, "optimiser": {}, "step": 3, "seconds": 1.0, "random": torch.get_rng_state()}
    torch.save(old, tmp_path / "last.pt")
    with pytest.raises(ValueError, match=f"another version.*init={tmp_path} and another out="):
        toy_trainer(tmp_path).resume()
    assert read_state(tmp_path / "last.pt")["step"] == 3  # its weights can still be read
    (tmp_path / "last.pt").write_bytes(b"PK\x03\x04 half a file")
    with pytest.raises(ValueError, match="damaged"):
        toy_trainer(tmp_path).resume()
    write_state(tmp_path / "last.pt", {"step": 1})
    with pytest.raises(ValueError, match="is no training state"):
        toy_trainer(tmp_path).resume()
    with pytest.raises(ValueError, match="expected a training state at"):
        read_state(tmp_path / "nowhere.pt")


def test_rows_may_have_new_columns_and_those_of_a_lost_future_are_dropped(tmp_path):
    curves = Curves(tmp_path, tensorboard=False)
    curves.record({"step": 1, "loss": 3.0})
    curves.record({"step": 2, "val_loss": 2.0})
    curves.record({"step": 3, "loss": 1.0})
    with (tmp_path / "curve.csv").open("a") as file:
        file.write("4")  # a crash in the middle of a row
    Curves(tmp_path, 2, tensorboard=False).record({"step": 3, "loss": 7.0})
    assert [(row["step"], row["loss"], row["val_loss"]) for row in read_rows(tmp_path)] == [
        ("1", "3.0", ""),
        ("2", "", "2.0"),
        ("3", "7.0", ""),
    ]


def test_out_of_memory_names_the_setting_to_change():
    with (
        pytest.raises(ValueError, match=r"out of memory: set batch=1 optim.accumulate=2.*goes on from the last save"),
        explained(FitConfig()),
    ):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
    assert advice(FitConfig(compute=ComputeConfig(precision="float32"))) == "set compute.precision=bf16"
    assert "clicks.rounds=3" in advice(FitConfig(batch=1))
    assert "batch=1" in advice(FitConfig(), PROPOSALS) and "proposals.patch" in advice(FitConfig(batch=1), PROPOSALS)
    with pytest.raises(RuntimeError, match="something else"), explained(FitConfig()):
        raise RuntimeError("something else")


@pytest.mark.parametrize(
    ("compute", "line"),
    [
        (ComputeConfig(accelerator="cpu", precision="fp16"), "fp16 needs a GPU"),
        (ComputeConfig(accelerator="cuda"), "compute.accelerator=cuda is not available"),
    ],
)
def test_hardware_that_is_not_there_is_named(compute, line):
    if compute.accelerator == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match=line):
        launch(compute)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_on_a_gpu(tmp_path, precision):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    train(tmp_path, settings(60, compute=ComputeConfig(accelerator="cuda", precision=precision)))
    assert column(tmp_path, "error")[-1] < 0.3 * column(tmp_path, "error")[0]
