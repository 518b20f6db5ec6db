"""SGD with momentum and the falling power of the learning rate, beside AdamW and the cosine."""

from __future__ import annotations

from itertools import islice

import pytest
import torch
from toy_training import settings, toy_batches, toy_trainer, toy_validation, train

from sam3dseg_training.configs.optim import OptimConfig, RecordConfig
from sam3dseg_training.run_state import LAST, read_state
from sam3dseg_training.schedule import Schedule

SGD = {"optim": OptimConfig(kind="sgd", schedule="poly", rate=0.01, momentum=0.99, average=0.5)}


def test_poly_falls_as_a_power_of_what_is_left():
    schedule = Schedule(steps=100, optim=OptimConfig(schedule="poly", rate=0.01, final=0.0, warmup=0.0))
    assert schedule.rate(0.0) == pytest.approx(0.01)
    assert schedule.rate(0.5) == pytest.approx(0.01 * 0.5**0.9)
    assert schedule.rate(1.0) == 0.0
    kept = Schedule(steps=100, optim=OptimConfig(schedule="poly", rate=0.01, final=0.1, warmup=0.2))
    assert kept.rate(1.0) == pytest.approx(0.001) and kept.rate(0.1) == pytest.approx(0.005)


def test_sgd_is_what_was_asked_for(tmp_path):
    trainer = toy_trainer(tmp_path, settings(**SGD))
    optimiser = trainer.learner._optimisers[0]
    assert isinstance(optimiser, torch.optim.SGD)
    assert optimiser.defaults["momentum"] == 0.99 and optimiser.defaults["nesterov"]
    assert optimiser.defaults["weight_decay"] == OptimConfig().decay
    assert isinstance(toy_trainer(tmp_path, settings()).learner._optimisers[0], torch.optim.AdamW)


def test_a_run_with_sgd_goes_on_as_if_it_had_not_stopped(tmp_path):
    config = settings(8, **SGD, record=RecordConfig(every=1, save_steps=3, tensorboard=False))
    whole = train(tmp_path / "whole", config)

    def cut_off(first):
        yield from islice(toy_batches(4)(first), 4)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        toy_trainer(tmp_path / "broken", config).run(cut_off, toy_validation)
    state = read_state(tmp_path / "broken" / LAST)
    assert state["step"] == 3
    assert all(set(held) == {"momentum_buffer"} for held in state["optimisers"][0].values())
    broken = train(tmp_path / "broken", config)
    for name, value in whole.learner.parameters.items():
        assert torch.equal(value, broken.learner.parameters[name])


def test_another_optimiser_cannot_go_on(tmp_path):
    train(tmp_path, settings(2, **SGD))
    with pytest.raises(ValueError, match=r"last.pt was trained with another optimiser than optim.kind=adamw: give"):
        train(tmp_path, settings(4))
    train(tmp_path / "adamw", settings(2))
    with pytest.raises(ValueError, match="another optimiser than optim.kind=sgd"):
        train(tmp_path / "adamw", settings(4, **SGD))
