"""What a model's file says of itself."""

from __future__ import annotations

import pytest
from proposal_networks import tiny_checkpoint
from tiny_networks import COMPACT, tiny_compact

from sam3dseg.checkpoint import Checkpoint, save_checkpoint
from sam3dseg.model_card import card_text

CARD = {
    "licence": "CC-BY-4.0",
    "data": [{"name": "Hippocampus", "licence": "CC-BY-SA 4.0"}, {"name": "Mine"}],
    "metrics": {"step": 200, "val_dice": 0.851234},
    "labels": ["Anterior", "Posterior"],
}


def entries(text):
    return [(line[:14].strip(), line[14:]) for line in text.splitlines()]


def test_a_sam_3d_file_lists_structures_slices_and_encoder():
    model = tiny_checkpoint(plan={"axis": 0, "spacing_mm": [1, 0.25, 0.5], "normalisation": "sam"})
    found = entries(card_text(Checkpoint("sam_3d", model.weights, model.config, CARD), name="toy"))
    for entry in (
        ("model", "toy"),
        ("architecture", "sam_3d, for proposals"),
        ("use it with", "sam3dseg propose"),
        ("structures", "1 Anterior #e6331a"),
        ("", "2 Posterior #1a4ce6"),
        ("slices", "sagittal, 1 x 0.25 x 0.5 mm (slice, row, column)"),
        ("mirrored", "R, A, S"),
        ("encoder", "sam small"),
        ("licence", "CC-BY-4.0"),
        ("data", "Hippocampus, licence CC-BY-SA 4.0"),
        ("", "Mine"),
        ("metrics", "step 200, val_dice 0.8512"),
        ("labels", "Anterior, Posterior"),
    ):
        assert entry in found, entry


def test_an_adapter_names_what_it_needs():
    text = card_text(Checkpoint("compact", {}, {}, {}, {"base": "sam-vit-b"}), name="mine")
    assert ("needs", "sam-vit-b, whose weights are not in this file") in entries(text)


def test_a_damaged_list_of_classes_is_named():
    model = tiny_checkpoint()
    with pytest.raises(ValueError, match="toy lists a class that cannot be read"):
        card_text(Checkpoint("sam_3d", model.weights, {**model.config, "classes": [3]}), name="toy")
    with pytest.raises(ValueError, match="must have axis, spacing_mm and normalisation"):
        card_text(Checkpoint("sam_3d", model.weights, {**model.config, "plan": {}}), name="toy")


def test_the_command_shows_a_file(run, tmp_path):
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, architecture="compact", config=COMPACT, weights=tiny_compact().state_dict(), provenance=CARD)
    code, out, err, _ = run("models", "show", path)
    assert (code, err) == (0, "")
    assert "compact, for clicks in 3D" in out and "CC-BY-4.0" in out
    code, _, err, _ = run("models", "show", "nothing")
    assert code == 2 and "no model named 'nothing'" in err
