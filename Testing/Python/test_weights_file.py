from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save_file

from sam3dseg.families import FAMILIES
from SAM3DSegmentLib.Models.Model import WEIGHTS_FOLDER
from SAM3DSegmentLib.Models.WeightsFile import inspectWeights


def test_the_embedded_model_describes_itself():
    (path,) = WEIGHTS_FOLDER.glob("*.safetensors")
    weights = inspectWeights(path)
    assert (weights.architecture, weights.isAdapter) == ("compact", False)
    assert weights.sizeBytes == path.stat().st_size
    assert weights.provenance["data"]


def test_the_embedded_model_is_small():
    (path,) = WEIGHTS_FOLDER.glob("*.safetensors")
    assert path.stat().st_size <= 16_000_000


def test_an_adapter_is_told_by_its_tensors(tmp_path):
    path = tmp_path / "mine.safetensors"
    card = {
        "licence": "CC-BY-4.0",
        "base": "embedded",
        "data": [{"name": "livers"}, "spleens"],
        "metrics": {"d": 1, "n": "x"},
    }
    metadata = {"provenance": json.dumps(card), "architecture": "compact"}
    save_file({"encoder.lora_A.weight": np.zeros((2, 4), np.float32)}, path, metadata)
    weights = inspectWeights(path)
    assert weights.isAdapter
    assert (weights.base, weights.architecture) == ("embedded", "compact")
    assert (weights.licence, weights.data, weights.metrics) == ("CC-BY-4.0", ("livers", "spleens"), (("d", 1.0),))


def test_what_the_engine_saves_is_described(tmp_path):
    torch = pytest.importorskip("torch")
    from sam3dseg.checkpoint import load_checkpoint, save_checkpoint

    path = tmp_path / "merged.safetensors"
    provenance = {"licence": "CC-BY-4.0", "data": "one hospital"}
    save_checkpoint(path, architecture="compact", config={}, weights={"a": torch.zeros(3)}, provenance=provenance)
    weights, checkpoint = inspectWeights(path), load_checkpoint(path)
    assert (weights.architecture, weights.isAdapter) == (checkpoint.architecture, False)
    assert weights.provenance == checkpoint.provenance
    assert weights.data == ("one hospital",)


def test_a_header_length_that_begins_like_a_pickle(tmp_path):
    path = tmp_path / "mine.safetensors"
    for padding in range(0, 257, 8):
        save_file({"a": np.zeros(4, np.float32)}, path, {"architecture": "compact", "note": "x" * padding})
        if path.read_bytes()[0] == 0x80:
            break
    assert path.read_bytes()[0] == 0x80
    assert inspectWeights(path).architecture == "compact"


def test_pytorch_files_are_recognised_without_reading_the_pickle(tmp_path):
    path = tmp_path / "mine.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", b"\x80cos\nsystem\n")
    assert inspectWeights(path).architecture == ""
    old = tmp_path / "old.pt"
    old.write_bytes(b"\x80\x02}q\x00.")
    assert inspectWeights(old).sizeBytes == old.stat().st_size


@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
def test_a_cut_file_is_incomplete(tmp_path, ending):
    path = tmp_path / f"cut{ending}"
    if ending == ".pth":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("data.pkl", b"x" * 4000)
    else:
        save_file({"a": np.zeros(1000, np.float32)}, path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match="incomplete"):
        inspectWeights(path)


@pytest.mark.parametrize(
    "content", [b"", b"abc", b"<html>sign in first</html>", (99).to_bytes(8, "little") + b"no json" * 20]
)
def test_what_is_no_weights_file_is_refused(tmp_path, content):
    path = tmp_path / "page.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"page\.safetensors is (no weights file|incomplete)"):
        inspectWeights(path)


def test_a_missing_file_names_its_place(tmp_path):
    with pytest.raises(ValueError, match="no weights file at"):
        inspectWeights(tmp_path / "gone.pth")


SAM, SAM_MED3D = ["rel_pos_h", "rel_pos_w"], ["rel_pos_d", "rel_pos_h", "rel_pos_w"]


@pytest.mark.parametrize(("parts", "family"), [(SAM, "clicks in slices"), (SAM_MED3D, "clicks in 3D"), ([], "")])
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_published_checkpoint_is_told_by_its_names(tmp_path, parts, family, suffix):
    torch = pytest.importorskip("torch")
    path = tmp_path / f"published.{suffix}"
    names = ["image_encoder.patch_embed.proj.weight", *(f"image_encoder.blocks.0.attn.{part}" for part in parts)]
    if suffix == "pth":
        torch.save({"model_state_dict": {f"module.{name}": torch.zeros(2) for name in names}}, path)
    else:
        save_file({name: np.zeros(2, np.float32) for name in names}, path)
    assert inspectWeights(path).family == family


def test_the_family_is_that_of_the_architecture(tmp_path):
    path = tmp_path / "mine.safetensors"
    for architecture, family in FAMILIES.items():
        save_file({"a": np.zeros(2, np.float32)}, path, {"architecture": architecture})
        assert inspectWeights(path).family == family
