"""The segmenter around a network: prompts in, candidates out, devices, memory running out."""

from __future__ import annotations

import logging

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sam3dseg import segmenter as segmenter_module  # noqa: E402
from sam3dseg.checkpoint import save_checkpoint  # noqa: E402
from sam3dseg.models import build  # noqa: E402
from sam3dseg.placement import Placement, is_out_of_memory, placements_for  # noqa: E402
from sam3dseg.segmenter import TRAITS, TorchSegmenter, Traits, load_segmenter  # noqa: E402
from sam3dseg.weighing import FEATURES  # noqa: E402

SMALL = {
    "encoder_widths": [8, 8, 8, 8],
    "encoder_depths": [1, 1, 1, 1],
    "decoder_widths": [8, 8, 8, 8],
    "match_width": 4,
}
TINY = Traits(channels=1, logits_size=4, normalisation="zscore_positive", antialias=False, window_size=8)
THREE = (Placement("cpu"), Placement("cpu", "bfloat16"), Placement("cpu"))


class RecordingNetwork(torch.nn.Module):
    """Stands in for a network: keeps what it was asked, fails with `failures` first."""

    def __init__(self, failures=()):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(2))
        self.failures = list(failures)
        self.asked = []
        self.autocast = []

    def _maybe_fail(self):
        if self.failures:
            raise self.failures.pop(0)

    def encode_image(self, x):
        self.autocast.append(torch.is_autocast_enabled("cpu"))
        self._maybe_fail()
        return {"features": [x.mean(dim=(2, 3, 4)) * self.weight[0]]}

    def encode_prompts(self, points, labels, mask_logits):
        self.asked.append((points, labels, mask_logits))
        return torch.zeros(1, 1, 4), torch.zeros(1)

    def decode_masks(self, _embedding, _sparse, _dense, *, multimask):
        assert multimask is None
        self._maybe_fail()
        masks = torch.arange(4.0).view(1, 4, 1, 1, 1).expand(1, 4, 4, 4, 4)
        return masks, torch.tensor([[0.9, 0.1, 0.2, 0.3]])


def segmenter_of(network, placements=THREE[:1], **changes):
    traits = Traits(**{**{name: getattr(TINY, name) for name in TINY.__slots__}, **changes})
    return TorchSegmenter(network, architecture="recording", traits=traits, placements=placements)


def window(seed=0):
    return np.random.default_rng(seed).normal(size=(1, 8, 8, 8)).astype(np.float32)


POINT, LABEL = np.array([[1.0, 2.0, 3.0]]), np.array([1])


def test_candidates_come_with_the_single_mask_first():
    segmenter = segmenter_of(RecordingNetwork())
    prediction = segmenter.decode(segmenter.encode(window()), POINT, LABEL, None)
    assert prediction.logits.shape == (4, 4, 4, 4)
    assert prediction.logits.dtype == prediction.iou.dtype == np.float32
    assert prediction.logits[:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    assert prediction.iou[0] == pytest.approx(0.9)


@pytest.mark.parametrize("zeros", [True, False])
def test_first_prompt_comes_with_zeros_where_trained_so(zeros):
    network = RecordingNetwork()
    segmenter_of(network, starts_from_zeros=zeros).decode({}, POINT, LABEL, None)
    points, labels, mask = network.asked[0]
    assert points.tolist() == [[[1, 2, 3]]]
    assert labels.tolist() == [[1]]
    assert (mask is not None and mask.shape == (1, 1, 4, 4, 4) and not mask.any()) if zeros else mask is None


def test_previous_logits_go_back_unchanged_and_are_resampled_only_when_needed():
    network = RecordingNetwork()
    segmenter = segmenter_of(network)
    previous = np.random.default_rng(0).normal(size=(4, 4, 4)).astype(np.float32)
    segmenter.decode({}, POINT, LABEL, previous)
    assert np.array_equal(network.asked[0][2][0, 0].numpy(), previous)
    segmenter.decode({}, POINT, LABEL, np.ones((8, 8, 8), np.float32))
    assert network.asked[1][2].shape == (1, 1, 4, 4, 4)


@pytest.mark.parametrize("pads", [True, False])
def test_mask_without_points(pads):
    network = RecordingNetwork()
    segmenter = segmenter_of(network, pads_empty_prompts=pads)
    segmenter.decode({}, np.zeros((0, 3)), np.zeros(0, int), np.zeros((4, 4, 4), np.float32))
    points, labels, _ = network.asked[0]
    assert labels.tolist() == [[-1]] if pads else points is labels is None


@pytest.mark.parametrize(
    ("points", "labels", "previous", "message"),
    [
        (np.zeros((0, 3)), np.zeros(0), None, "at least one point or a previous mask"),
        (POINT, np.array([1, 0]), None, "1 points and 2 labels"),
        (POINT, np.array([2]), None, r"received \[2\]"),
        (POINT, LABEL, np.zeros((4, 4)), r"cubic logits .* received \(4, 4\)"),
    ],
)
def test_bad_prompts(points, labels, previous, message):
    with pytest.raises(ValueError, match=message):
        segmenter_of(RecordingNetwork()).decode({}, points, labels, previous)


def test_window_of_another_shape():
    with pytest.raises(ValueError, match=r"shape \(1, 8, 8, 8\), received \(2, 8, 8, 8\)"):
        segmenter_of(RecordingNetwork()).encode(np.zeros((2, 8, 8, 8), np.float32))


def out_of_memory():
    return torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")


def test_out_of_memory_tries_smaller_precision_then_the_cpu(caplog):
    network = RecordingNetwork([out_of_memory(), RuntimeError("MPS backend out of memory")])
    segmenter = segmenter_of(network, THREE)
    with caplog.at_level(logging.WARNING):
        segmenter.encode(window())
    assert network.autocast == [False, True, False]
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "bfloat16" in caplog.messages[0]
    assert segmenter.device_line.startswith("CPU (")
    assert "out of memory on" in segmenter.device_line
    assert "bfloat16" in segmenter.device_line


def test_what_ran_out_of_memory_is_not_tried_again():
    network = RecordingNetwork([out_of_memory()])
    segmenter = segmenter_of(network, THREE)
    embedding = segmenter.encode(window())
    assert embedding["features"][0].dtype == torch.float32
    segmenter.encode(window(1))
    assert network.autocast == [False, True, True]


def test_out_of_memory_while_decoding_keeps_the_embedding_usable():
    network = RecordingNetwork()
    segmenter = segmenter_of(network, THREE)
    embedding = segmenter.encode(window())
    network.failures = [out_of_memory(), out_of_memory()]
    assert segmenter.decode(embedding, POINT, LABEL, None).logits.shape == (4, 4, 4, 4)


def test_out_of_memory_everywhere_and_other_errors():
    with pytest.raises(RuntimeError, match=r"out of memory: tried .* choose a smaller model"):
        segmenter_of(RecordingNetwork([out_of_memory()])).encode(window())
    segmenter = segmenter_of(RecordingNetwork([RuntimeError("a bug")]), THREE)
    with pytest.raises(RuntimeError, match="a bug"):
        segmenter.encode(window())
    assert "out of memory" not in segmenter.device_line
    assert not is_out_of_memory(RuntimeError("shapes differ"))


def test_memory_counts_weights_and_embedding():
    segmenter = segmenter_of(RecordingNetwork())
    assert segmenter.memory_bytes() == 8
    segmenter.encode(window())
    assert segmenter.memory_bytes() == 12


def test_devices():
    assert placements_for("cpu", "auto") == (Placement("cpu", "float32"),)
    assert placements_for("cpu", "bfloat16") == (Placement("cpu", "bfloat16"),)
    with pytest.raises(ValueError, match="unknown device 'tpu': expected auto"):
        placements_for("tpu", "auto")
    with pytest.raises(ValueError, match="unknown precision 'int4'"):
        placements_for("cpu", "int4")
    with pytest.raises(ValueError, match="'float16' is not for the CPU"):
        placements_for("cpu", "float16")


def test_device_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert placements_for("auto", "auto")[0].device == "cpu"
    for device in ("cuda", "mps"):
        with pytest.raises(ValueError, match=f"device '{device}' is not available"):
            placements_for(device, "auto")


def test_order_of_devices(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert placements_for("auto", "auto") == (Placement("mps"), Placement("mps", "float16"), Placement("cpu"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert placements_for("auto", "auto") == (Placement("cuda"), Placement("cuda", "bfloat16"), Placement("cpu"))
    with pytest.raises(ValueError, match="'cuda:1' is not available"):
        placements_for("cuda:1", "auto")


@pytest.fixture
def compact_file(tmp_path):
    torch.manual_seed(0)
    network = build("compact", **SMALL)
    path = tmp_path / "Weights" / "small.safetensors"
    path.parent.mkdir()
    save_checkpoint(path, architecture="compact", config=SMALL, weights=network.state_dict(), provenance={})
    return path


def test_compact_from_a_path(compact_file):
    segmenter = load_segmenter(compact_file, device="cpu")
    assert (segmenter.name, segmenter.architecture, segmenter.window_size) == ("small", "compact", 128)
    assert (segmenter.fixed_spacing_mm, segmenter.normalisation, segmenter.antialias) == (None, "robust_rank", True)
    embedding = segmenter.encode(np.zeros((2, 128, 128, 128), np.float32))
    prediction = segmenter.decode(embedding, np.array([[64.0, 60, 50]]), LABEL, None)
    assert prediction.logits.shape == (4, 64, 64, 64)
    again = segmenter.decode(embedding, np.zeros((0, 3)), np.zeros(0), prediction.logits[0])
    assert np.isfinite(again.logits).all()


def test_a_network_that_judges_changes_says_so_to_the_session(compact_file):
    segmenter = load_segmenter(compact_file, device="cpu")
    features = np.random.default_rng(0).normal(size=(5, len(FEATURES))).astype(np.float32)
    network = segmenter._placed.network
    with torch.inference_mode():
        expected = network.judge_changes(torch.from_numpy(features)).numpy()
    belief = segmenter.judge(features)
    assert belief.dtype == np.float32 and np.array_equal(belief, expected)
    assert segmenter_of(RecordingNetwork()).judge is None


def test_embedded_is_the_only_file_in_the_weights_folder(compact_file, monkeypatch):
    monkeypatch.setattr(segmenter_module, "WEIGHTS_FOLDER", compact_file.parent)
    assert load_segmenter("embedded", device="cpu").name == "embedded"
    (compact_file.parent / "second.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match="found 2; reinstall"):
        load_segmenter(device="cpu")


def test_sam_med3d_traits():
    traits = TRAITS["sam_med3d_vit_b_ori"]
    assert (traits.fixed_spacing_mm, traits.normalisation, traits.antialias) == (1.5, "zscore_positive", False)
    assert (traits.channels, traits.logits_size, traits.starts_from_zeros) == (1, 32, True)
