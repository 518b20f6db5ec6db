"""Decoder-only training on kept encodings: the same loss, much sooner, and never of another encoder."""

from __future__ import annotations

import errno
import logging
import time

import pytest
import torch
from tiny_networks import ball_batch, disk_batch, tiny_compact, tiny_sam, tiny_sam_med3d
from torch.utils.data import Dataset, default_collate

import sam3dseg_training.data.kept_tensors as kept_module
from sam3dseg_training.click_training import ClickObjective
from sam3dseg_training.configs.clicks import ClickConfig
from sam3dseg_training.configs.fit import LoraConfig
from sam3dseg_training.configs.losses import LossConfig
from sam3dseg_training.configs.slices import SliceConfig
from sam3dseg_training.slice_training import SliceObjective
from sam3dseg_training.tuning.embeddings import EncodedWindows, keep_encodings
from sam3dseg_training.tuning.parts import prepare_network

ABOUT = {"cases": ["a", "b"], "seed": 1}


class Balls(Dataset):
    """Sample n is a ball of one of two sizes."""

    def __init__(self, **shape):
        self.batch = ball_batch(**shape, count=2)

    def __getitem__(self, number):
        sample = {name: value[number % 2] for name, value in self.batch.items()}
        noise = torch.Generator().manual_seed(number)
        sample["image"] = sample["image"] + 0.3 * torch.randn(sample["image"].shape, generator=noise)
        return {**sample, "number": torch.tensor(number)}


def objective(network, stride):
    clicks = ClickConfig(rounds=2)
    zeros = not hasattr(network, "match_masks")
    return ClickObjective(network, clicks=clicks, loss=LossConfig(), seed=0, stride=stride, starts_from_zeros=zeros)


@pytest.mark.parametrize(
    ("make", "shape"),
    [(tiny_compact, {"size": 32}), (tiny_sam_med3d, {"size": 128, "stride": 4, "channels": 1})],
    ids=["compact", "sam_med3d"],
)
def test_the_loss_is_that_of_encoding_anew(tmp_path, make, shape):
    network, windows = make(), Balls(**shape)
    prepare_network(network, "decoder", LoraConfig())
    assert keep_encodings(network, windows, 3, tmp_path, about=ABOUT) == 3
    kept = EncodedWindows(tmp_path, seed=5)
    step = objective(network, shape.get("stride", 2))
    numbers = [4, 5]
    batch = default_collate([kept[number] for number in numbers])
    anew = default_collate([windows[kept.kept_number(number)] for number in numbers])
    assert ("image" in batch) == hasattr(network, "match_masks")
    loss, measures = step(batch, numbers, draw=1)
    expected, known = step(anew, numbers, draw=1)
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=2e-3)
    assert measures["rounds"] == known["rounds"]
    loss.backward()
    assert all(value.grad is None for value in network.image_encoder.parameters())


def test_an_epoch_takes_every_window_once_in_another_order(tmp_path):
    keep_encodings(tiny_compact(), Balls(), 6, tmp_path, about=ABOUT)
    kept = EncodedWindows(tmp_path, seed=0)
    first, second = ([kept.kept_number(n) for n in range(start, start + 6)] for start in (0, 6))
    assert sorted(first) == sorted(second) == list(range(6)) and first != second
    assert kept[7]["number"] == 7


def test_features_are_kept_in_half_precision_and_given_in_single(tmp_path):
    keep_encodings(tiny_compact(), Balls(), 1, tmp_path, about=ABOUT)
    sample = EncodedWindows(tmp_path, 0)[0]
    values = sum(value.numel() for value in (*sample["features"], sample["image"], sample["targets"]))
    assert (tmp_path / "000000.safetensors").stat().st_size < 2 * values + 1000
    assert {value.dtype for value in sample["features"]} == {torch.float32}


def test_what_is_there_is_not_made_again_but_what_is_damaged_is(tmp_path):
    network, windows = tiny_compact(), Balls()
    assert keep_encodings(network, windows, 4, tmp_path, about=ABOUT) == 4
    assert keep_encodings(network, windows, 4, tmp_path, about=ABOUT) == 0
    damaged = tmp_path / "000002.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-9])
    with pytest.raises(ValueError, match="000002.safetensors, one of the encodings, is missing or damaged"):
        [EncodedWindows(tmp_path, 0)[n] for n in range(4)]
    assert keep_encodings(network, windows, 4, tmp_path, about=ABOUT) == 1


@pytest.mark.parametrize(("change", "word"), [("encoder", "encoder"), ("about", "about"), ("index", "")])
def test_encodings_of_something_else_are_made_again(tmp_path, change, word, caplog):
    network, windows = tiny_compact(), Balls()
    keep_encodings(network, windows, 2, tmp_path, about=ABOUT)
    if change == "encoder":
        network.image_encoder.stem.bias.data += 1
    about = {**ABOUT, "seed": 2} if change == "about" else ABOUT
    if change == "index":
        (tmp_path / "index.json").write_text('{"format": 0, "count": 2, "complete": true}')
    before = (tmp_path / "000001.safetensors").read_bytes()
    with caplog.at_level(logging.INFO):
        assert keep_encodings(network, windows, 2, tmp_path, about=about) == 2
    assert "of other data or weights" in caplog.text and word in caplog.text
    assert ((tmp_path / "000001.safetensors").read_bytes() != before) == (change == "encoder")


def test_a_decoder_that_was_trained_keeps_its_encodings(tmp_path):
    network = tiny_compact()
    keep_encodings(network, Balls(), 2, tmp_path, about=ABOUT)
    network.mask_decoder.head.bias.data += 1
    assert keep_encodings(network, Balls(), 2, tmp_path, about=ABOUT) == 0


def test_a_full_disk_leaves_no_half_file_and_is_gone_on_from(tmp_path, monkeypatch):
    network, windows = tiny_compact(), Balls()
    written = kept_module.save_file

    def full(tensors, path):
        if "000001" in path.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        written(tensors, path)

    monkeypatch.setattr(kept_module, "save_file", full)
    with pytest.raises(OSError, match="no space left"):
        keep_encodings(network, windows, 3, tmp_path, about=ABOUT)
    with pytest.raises(ValueError, match="no complete encodings"):
        EncodedWindows(tmp_path, 0)
    monkeypatch.setattr(kept_module, "save_file", written)
    assert keep_encodings(network, windows, 3, tmp_path, about=ABOUT) == 2
    assert sorted(path.name for path in tmp_path.glob("*.safetensors")) == [f"00000{n}.safetensors" for n in range(3)]


def test_a_step_without_the_encoder_is_quicker(tmp_path):
    torch.manual_seed(0)
    network, windows = tiny_sam_med3d(), Balls(size=128, stride=4, channels=1)
    prepare_network(network, "decoder", LoraConfig())
    keep_encodings(network, windows, 1, tmp_path, about=ABOUT)
    step = objective(network, 4)
    kept, anew = default_collate([EncodedWindows(tmp_path, 0)[0]]), default_collate([windows[0]])
    seconds = []
    for batch in (kept, anew):
        start = time.process_time()
        for _ in range(3):
            step.embed(batch)
        seconds.append(time.process_time() - start)
    assert seconds[0] < 0.2 * seconds[1]


class Disks(Balls):
    """Sample n is a slice with a disk."""

    def __init__(self):
        self.batch = disk_batch()
        self.batch["boxes"] += 0.123  # not to be had in half precision


@pytest.mark.parametrize("boxes", [0, 1])
def test_encoded_slices_give_the_loss_of_encoding_anew(tmp_path, boxes):
    network, slices = tiny_sam(), Disks()
    prepare_network(network, "decoder", LoraConfig(), frozen=("prompt_encoder.",))
    keep_encodings(network, slices, 4, tmp_path, about=ABOUT)
    kept = EncodedWindows(tmp_path, seed=5)
    clicks, config = ClickConfig(rounds=2), SliceConfig(boxes=boxes)
    step = SliceObjective(network, clicks=clicks, loss=LossConfig(), slices=config, seed=0)
    batch = default_collate([kept[number] for number in (4, 5)])
    anew = default_collate([slices[kept.kept_number(number)] for number in (4, 5)])
    assert "image" not in batch and torch.equal(batch["boxes"], anew["boxes"])
    loss, expected = step(batch, [4, 5], draw=1)[0], step(anew, [4, 5], draw=1)[0]
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=0.01)
