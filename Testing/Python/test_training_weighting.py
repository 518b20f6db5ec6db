"""The balance of the terms of a loss."""

from __future__ import annotations

import math

import pytest
import torch

from sam3dseg_training.weighting import AdaptiveWeights, FixedWeights

TERMS = {"mask": torch.tensor(0.8), "iou": torch.tensor(0.1)}


def test_fixed_weights_sum_what_is_there():
    assert FixedWeights({"mask": 1.0, "iou": 0.2, "sdf": 3.0})(TERMS).item() == pytest.approx(0.8 + 0.02)
    assert list(FixedWeights({"mask": 1.0}).parameters()) == []


def test_adaptive_weights_follow_their_formula():
    weighting = AdaptiveWeights({"mask": 1.0, "iou": 0.2, "sdf": 0.0})
    assert weighting(TERMS).item() == pytest.approx(0.82)  # at first as the fixed ones
    with torch.no_grad():
        weighting.log_variance["mask"].fill_(0.5)
        weighting.log_variance["iou"].fill_(-1.0)
    expected = (math.exp(-0.5) * 0.8 + 0.5) + 0.2 * (math.e * 0.1 - 1.0)
    assert weighting(TERMS).item() == pytest.approx(expected)
    assert weighting.current() == {"mask": pytest.approx(math.exp(-0.5)), "iou": pytest.approx(0.2 * math.e)}


def test_learned_weights_settle_at_the_inverse_of_the_loss():
    weighting = AdaptiveWeights({"mask": 1.0, "iou": 0.2})
    optimiser = torch.optim.Adam(weighting.parameters(), lr=0.05)
    for _ in range(400):
        optimiser.zero_grad()
        weighting(TERMS).backward()
        optimiser.step()
    for name, term in TERMS.items():  # where the derivative 1 - exp(-s) L is zero
        assert math.exp(float(weighting.log_variance[name].detach())) == pytest.approx(float(term), rel=0.02)


def test_a_term_that_is_absent_leaves_its_weight_with_a_gradient_of_zero():
    weighting = AdaptiveWeights({"mask": 1.0, "iou": 0.2, "drop": 0.5})
    loss = weighting(TERMS)
    loss.backward()
    assert loss.item() == pytest.approx(0.82)
    assert weighting.log_variance["drop"].grad.item() == 0


def test_terms_without_weight_have_no_parameter_and_do_not_count():
    weighting = AdaptiveWeights({"mask": 1.0, "iou": 0.0})
    assert set(weighting.log_variance) == {"mask"}
    assert weighting(TERMS).item() == pytest.approx(0.8)
