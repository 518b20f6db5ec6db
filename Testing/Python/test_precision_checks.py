"""Checks of precisions: what is chosen, what is kept, and when a record no longer holds."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from tiny_networks import COMPACT, SMALL_SAM, tiny_compact, tiny_sam  # noqa: E402

from sam3dseg import catalogue, check_command, precision_checks  # noqa: E402
from sam3dseg.agreement import Case  # noqa: E402
from sam3dseg.check_cases import phantom  # noqa: E402
from sam3dseg.checkpoint import Checkpoint, save_checkpoint  # noqa: E402
from sam3dseg.cli import main  # noqa: E402
from sam3dseg.placement import Placement  # noqa: E402
from sam3dseg.precision_checks import Measured, check_of, forget, placements_of, recall, remember  # noqa: E402
from sam3dseg.segmenter import load_segmenter, segmenter_of  # noqa: E402

REFERENCE = Measured("float32", 1.0, 0.1, masks=9)
GOOD = Measured("bfloat16", 0.5, 0.1, 0.996, 0.999, 9)


@pytest.fixture(autouse=True)
def models_folder(tmp_path, monkeypatch):
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(tmp_path / "models"))
    return tmp_path / "models"


def compact(seed: int = 0) -> Checkpoint:
    return Checkpoint("compact", tiny_compact(seed).state_dict(), COMPACT)


def sam() -> Checkpoint:
    return Checkpoint("sam", tiny_sam().state_dict(), SMALL_SAM)


def kept(checkpoint: Checkpoint, *entries: Measured):
    return remember(checkpoint, check_of(checkpoint, "cpu", (REFERENCE, *entries)))


def test_nothing_checked_is_float32_and_reads_no_weights(monkeypatch):
    monkeypatch.setattr(precision_checks, "_digest", lambda checkpoint: pytest.fail("the weights were read through"))
    assert placements_of(compact(), "cpu", "auto") == (Placement("cpu"),)


def test_what_agrees_and_is_faster_is_used_and_said():
    kept(compact(), GOOD)
    segmenter = segmenter_of(compact(), name="toy", device="cpu")
    assert segmenter.device_line.endswith("bfloat16, checked: Dice 0.996")
    assert segmenter_of(compact(), name="toy", device="cpu", precision="float32").device_line.endswith("float32")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (replace(GOOD, dice_smallest=0.9949), "but differs: Dice 0.995 is asked"),
        (replace(GOOD, encode_s=1.0), "gains nothing: 1.0 times"),
        (replace(GOOD, encode_s=2.0), "gains nothing: 0.5 times"),
        (replace(GOOD, masks=0), "differs"),
    ],
)
def test_what_differs_or_is_slow_is_not_used(entry, words):
    check = check_of(compact(), "cpu", (REFERENCE, entry))
    remember(compact(), check)
    assert placements_of(compact(), "cpu", "auto") == (Placement("cpu"),)
    assert words in check_command.verdict(check, entry)
    assert check_command.verdict(check, REFERENCE) == "the reference, used"


def test_large_models_have_a_lower_bar_and_the_fastest_wins():
    entries = replace(GOOD, dice_smallest=0.991), Measured("int8", 0.3, 0.1, 0.990, 0.995, 9)
    check = check_of(sam(), "cpu", (REFERENCE, *entries))
    assert check.best.precision == "int8"
    assert check_command.verdict(check, entries[0]) == "1.8 times as fast, agrees"
    assert check_command.verdict(check, entries[1]) == "2.8 times as fast, agrees, used"
    worse = replace(entries[1], dice_smallest=0.989)
    assert check_of(sam(), "cpu", (REFERENCE, entries[0], worse)).best.precision == "bfloat16"


def test_the_table_has_a_line_for_every_precision():
    lines = check_command.table(check_of(compact(), "cpu", (REFERENCE, GOOD)))
    assert [line.split()[0] for line in lines] == ["precision", "float32", "bfloat16"]
    assert lines[2].split()[1:5] == ["0.500", "0.100", "0.9960", "0.9990"]


def test_other_weights_void_the_record():
    kept(compact(), GOOD)
    assert recall(compact(), "cpu").best == GOOD
    assert recall(compact(seed=1), "cpu") is None
    changed = compact()
    changed.weights["mask_decoder.head.bias"][0] += 1e-3
    assert recall(changed, "cpu") is None


@pytest.mark.parametrize("name", ["torch", "software"])
def test_other_versions_void_the_record(name, caplog):
    path = kept(compact(), GOOD)
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, name: "0.0.1"}))
    with caplog.at_level(logging.INFO):
        assert recall(compact(), "cpu") is None
    assert f"is of other {name}: going on with float32" in caplog.text


def test_another_processor_has_a_record_of_its_own(monkeypatch):
    kept(compact(), GOOD)
    monkeypatch.setattr(precision_checks, "processor_name", lambda device: "another")
    assert recall(compact(), "cpu") is None


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"measured": [{}]}', '{"measured": 3}', "\x00"],
)
def test_a_damaged_record_is_left_out_with_a_line(content, caplog):
    path = kept(compact(), GOOD)
    path.write_text(content)
    assert placements_of(compact(), "cpu", "auto") == (Placement("cpu"),)
    assert "cannot be read" in caplog.text and "going on with float32" in caplog.text
    assert len(caplog.messages) == 1


def test_numbers_that_are_none_are_left_out(caplog):
    path = kept(compact(), GOOD)
    path.write_text(path.read_text(encoding="utf-8").replace("0.5", "NaN"))
    assert recall(compact(), "cpu") is None
    assert "not those of a check" in caplog.text


def test_a_record_is_written_whole_and_can_be_forgotten(models_folder):
    path = kept(compact(), GOOD)
    assert list((models_folder / "checks").iterdir()) == [path]
    assert forget(compact(), "cpu") and not path.exists()
    assert not forget(compact(), "cpu")


@pytest.fixture
def small_file(tmp_path):
    path = tmp_path / "small.safetensors"
    config = {**COMPACT, "window": 64}
    save_checkpoint(path, architecture="compact", config=config, weights=compact().weights, provenance={})
    return path


@pytest.fixture
def small_case(monkeypatch):
    case = phantom((48, 44, 24), (5.0, 5.0, 10.0))
    monkeypatch.setattr(check_command, "_cases", lambda images: [Case(case.image, case.structures[:1])])


def test_the_command_measures_prints_and_keeps(small_file, small_case, capsys):
    assert main(["check", "--model", str(small_file), "--device", "cpu"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith(f"{small_file} on ") and "PyTorch" in out[0]
    assert "made-up body" in out[1]
    assert [line.split()[0] for line in out[2:6]] == ["precision", "float32", "bfloat16", "int8"]
    assert "left out" in out[5] and "convolutional" in out[5]
    assert out[6].startswith("from now on: ")
    used = out[6].split()[3]
    assert used in load_segmenter(small_file, device="cpu").device_line
    assert main(["check", "--model", str(small_file), "--device", "cpu", "--forget"]) == 0
    assert "forgotten" in capsys.readouterr().out
    assert main(["check", "--model", str(small_file), "--device", "cpu", "--forget"]) == 0
    assert "nothing was known" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check", "--model", "none"], "no model named 'none'"),
        (["check", "--device", "tpu"], "unknown device 'tpu'"),
        (["check", "--image", "missing.nii.gz"], "missing.nii.gz"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(words, message, capsys):
    assert main(words) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_int8_for_the_convolutional_model_exits_2(small_file, tmp_path, capsys):
    import SimpleITK as sitk

    image = tmp_path / "image.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(phantom((16, 16, 16)).image.array_ijk), str(image))
    words = ["segment", str(image), "--click", "8,8,8", "-o", str(tmp_path / "m.nrrd"), "--model", str(small_file)]
    assert main([*words, "--device", "cpu", "--precision", "int8"]) == 2
    assert "precision 'int8' " in capsys.readouterr().err
