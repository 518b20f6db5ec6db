"""The benchmark of the two decoders: exponents, figures, table and plot."""

from __future__ import annotations

import json

import pytest
import torch

import decoders


def test_exponents_are_slopes_of_the_larger_sizes():
    sizes = [1.0, 2, 4, 8, 16, 32]
    assert decoders.exponent(sizes, [3 * n for n in sizes]) == pytest.approx(1)
    assert decoders.exponent(sizes, [9, 9, 9, *(n**2 for n in sizes[3:])]) == pytest.approx(2)


def test_both_decoders_answer_at_every_voxel():
    features = torch.randn(1, decoders.CHANNELS, 2, 3, 2)
    for kind in decoders.DECODERS:
        with torch.no_grad():
            assert decoders.logits_of(decoders.decoder_of(kind), features).shape == (1, 3, 2, 48, 32)


def test_attention_compares_every_position_with_every_other():
    torch.manual_seed(0)
    decoder = decoders.AttentionDecoder(dim=16, depth=1, heads=2).double()
    features = torch.randn(1, 16, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    decoder(features)[0, 0, 0, 0, 0].backward()
    assert (features.grad.abs().sum(dim=1) > 0).all()


def test_operations_grow_linearly_and_quadratically():
    sizes, flop = [(8, 8, 8), (32, 16, 16)], {}
    for kind in decoders.DECODERS:
        flop[kind] = [decoders.operations(kind, size) for size in sizes]
    cells = [512, 8192]
    assert flop["sam_3d"][1] / flop["sam_3d"][0] == pytest.approx(16, rel=0.01)
    attention = [4 * decoders.CHANNELS * n**2 * 2 for n in cells]  # two products in two layers
    linear = [total - part for total, part in zip(flop["attention"], attention, strict=True)]
    assert linear[1] / linear[0] == pytest.approx(16, rel=0.01)
    assert attention[1] > linear[1]


def test_a_run_gives_a_table_json_and_a_plot(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(decoders, "SIZES", ((2, 2, 2), (4, 2, 2), (4, 4, 2)))
    monkeypatch.setattr(decoders, "measure_apart", decoders.measure)
    words = ["--largest", "2", "--repeats", "1", "--json", str(tmp_path / "d.json"), "--plot", str(tmp_path / "d.png")]
    assert decoders.main(words) == 0
    out = capsys.readouterr().out
    assert "| 2,048 |" in out and "grows with" in out
    result = json.loads((tmp_path / "d.json").read_text(encoding="utf-8"))
    assert result["voxels"] == [2048, 4096]
    for figures in result["decoders"].values():
        assert all(len(figures[name]) == 2 and min(figures[name]) > 0 for name in ("seconds", "bytes", "flop"))
    assert result["decoders"]["sam_3d"]["exponents"]["flop"] == pytest.approx(1, abs=1e-6)
    assert (tmp_path / "d.png").read_bytes()[:4] == b"\x89PNG"


def test_a_wrong_number_is_one_line(capsys):
    assert decoders.main(["--largest", "1"]) == 2
    assert capsys.readouterr().err.startswith("decoders: expected --largest from 2 to")
