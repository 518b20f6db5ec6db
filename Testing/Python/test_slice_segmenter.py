"""The segmenter around a SAM network: prompts in, candidates out, precision, and loading by family."""

from __future__ import annotations

import threading

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from test_sam import TINY  # noqa: E402

from sam3dseg import catalogue  # noqa: E402
from sam3dseg.checkpoint import Checkpoint, save_checkpoint  # noqa: E402
from sam3dseg.models import build  # noqa: E402
from sam3dseg.placed_network import PlacedNetwork  # noqa: E402
from sam3dseg.placement import Placement  # noqa: E402
from sam3dseg.segmenter import TorchSegmenter, load_segmenter, segmenter_of, traits_of  # noqa: E402
from sam3dseg.slices.segmenter import TorchSliceSegmenter  # noqa: E402

CPU = (Placement("cpu"),)
BOX = np.array([10.0, 12, 40, 44])
NOTHING = np.zeros((0, 2)), np.zeros(0, np.int64)
POINT = np.array([[30.0, 20]]), np.array([1])


def checkpoint(**changes):
    """Weights that make a difference: random position tables and embeddings."""
    torch.manual_seed(0)
    config = {**TINY, **changes}
    network = build("sam", **config)
    for name, value in network.named_parameters():
        if "rel_pos" in name or "pos_embed" in name:
            torch.nn.init.normal_(value, std=0.2)
    return Checkpoint("sam", network.state_dict(), config)


def values(seed=0):
    return np.random.default_rng(seed).normal(size=(3, 64, 64)).astype(np.float32)


def segmenter(placements=CPU, **changes):
    return TorchSliceSegmenter(checkpoint(**changes), placements=placements)


def test_it_says_what_it_is():
    made = segmenter(preprocessing="medsam")
    assert (made.name, made.architecture, made.image_size, made.logits_size) == ("sam", "sam", 64, 16)
    assert (made.preprocessing, segmenter().preprocessing) == ("medsam", "sam")
    assert made.device_line.startswith("CPU")
    assert made.memory_bytes() == sum(4 * value.numel() for value in checkpoint().weights.values())


@pytest.mark.parametrize(
    ("points", "box", "previous"),
    [(POINT, None, None), (NOTHING, BOX, None), (POINT, BOX, np.ones((16, 16))), (NOTHING, None, np.ones((16, 16)))],
)
def test_answers_are_those_of_the_network(points, box, previous):
    made, network = segmenter(), build("sam", **TINY).eval()
    network.load_state_dict(checkpoint().weights)
    previous = None if previous is None else previous.astype(np.float32)
    answer = made.decode(made.encode(values()), points=points[0], labels=points[1], box=box, previous=previous)
    with torch.inference_mode():
        given = [torch.from_numpy(part)[None] if len(part) else None for part in points]
        given[0] = None if given[0] is None else given[0].float()
        corners = None if box is None else torch.from_numpy(box)[None].float()
        mask = None if previous is None else torch.from_numpy(previous)[None, None]
        embedding = network.encode_image(torch.from_numpy(values())[None])
        logits, iou = network.decode_masks(embedding, *network.encode_prompts(*given, corners, mask))
    assert answer.logits.shape == (4, 16, 16) and answer.iou.shape == (4,)
    assert answer.logits.dtype == answer.iou.dtype == np.float32
    np.testing.assert_allclose(answer.logits, logits[0], atol=2e-3)  # the embedding is kept in half precision
    np.testing.assert_allclose(answer.iou, iou[0], atol=2e-3)


def test_every_kind_of_prompt_changes_the_answer():
    made = segmenter()
    embedding = made.encode(values())
    first = made.decode(embedding, points=POINT[0], labels=POINT[1])
    others = [
        made.decode(embedding, points=POINT[0] + 20, labels=POINT[1]),
        made.decode(embedding, points=POINT[0], labels=np.array([0])),
        made.decode(embedding, points=POINT[0], labels=POINT[1], box=BOX),
        made.decode(embedding, points=POINT[0], labels=POINT[1], previous=first.logits[0]),
        made.decode(made.encode(values(1)), points=POINT[0], labels=POINT[1]),
    ]
    assert all(np.abs(other.logits - first.logits).max() > 1e-4 for other in others)


def test_previous_logits_of_another_resolution_are_resampled():
    made = segmenter()
    embedding = made.encode(values())
    coarse, fine = (np.full((n, n), 3, np.float32) for n in (8, 16))
    answers = [made.decode(embedding, points=NOTHING[0], labels=NOTHING[1], previous=p) for p in (coarse, fine)]
    assert np.array_equal(answers[0].logits, answers[1].logits)


@pytest.mark.parametrize(
    ("prompts", "words"),
    [
        ({}, "expected a point, a box or a previous mask, received none"),
        ({"points": POINT[0]}, "one label per point, received 1 points and 0 labels"),
        ({"points": POINT[0], "labels": [2]}, r"received \[2\]"),
        ({"previous": np.zeros((4, 5))}, r"square logits \(n, n\) as previous mask, received \(4, 5\)"),
        ({"box": np.zeros((2, 2))}, r"a box \(x0, y0, x1, y1\), received shape \(2, 2\)"),
    ],
)
def test_wrong_prompts_are_named(prompts, words):
    with pytest.raises(ValueError, match=words):
        segmenter().decode(torch.zeros(1), **{"points": NOTHING[0], "labels": NOTHING[1], **prompts})


def test_a_slice_of_another_shape_is_named():
    with pytest.raises(ValueError, match=r"expected a slice of shape \(3, 64, 64\), received \(1, 64, 64\)"):
        segmenter().encode(np.zeros((1, 64, 64), np.float32))


def test_bfloat16_is_used_on_request_and_near():
    exact, reduced = segmenter(), segmenter([Placement("cpu", "bfloat16")])
    embeddings = [made.encode(values()).float() for made in (exact, reduced)]
    difference = (embeddings[0] - embeddings[1]).abs().max()
    assert 1e-3 < difference < 0.1  # of values with deviation 1
    answers = [m.decode(e, points=POINT[0], labels=POINT[1]) for m, e in zip((exact, reduced), embeddings, strict=True)]
    level = np.median(answers[0].logits)
    first, second = (answer.logits > level for answer in answers)
    assert 2 * (first & second).sum() / (first.sum() + second.sum()) > 0.98


def test_embeddings_are_small():
    embedding = segmenter().encode(values())
    assert embedding.nbytes == 2 * 16 * 4 * 4


def test_memory_that_runs_out_moves_to_the_next_placement(monkeypatch):
    made = segmenter((Placement("cpu"), Placement("cpu", "bfloat16")))
    real, failures = made._placed.network.encode_image, [torch.cuda.OutOfMemoryError("out of memory")]

    def encode(x):
        if failures:
            raise failures.pop()
        return real(x)

    monkeypatch.setattr(made._placed.network, "encode_image", encode)
    assert torch.equal(made.encode(values()), segmenter([Placement("cpu", "bfloat16")]).encode(values()))
    assert "bfloat16 (out of memory on CPU" in made.device_line


def in_two_threads(placed, *works):
    answers = []
    threads = [threading.Thread(target=lambda work=work: answers.append(placed.attempt(work))) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return answers


@pytest.fixture
def placed():
    return PlacedNetwork(torch.nn.Linear(1, 1), [*CPU, Placement("cpu", "bfloat16"), *CPU])


def test_two_threads_that_run_out_of_memory_together_fall_back_once(placed):
    together = threading.Barrier(2)
    failures = iter([RuntimeError("out of memory"), RuntimeError("out of memory")])

    def work():
        failure = next(failures, None)
        if failure is not None:
            together.wait(10)
            raise failure
        return "done"

    assert in_two_threads(placed, work, work) == ["done", "done"]
    assert "bfloat16 (out of memory on CPU" in placed.device_line


def test_work_that_fails_because_another_thread_moved_the_network_is_repeated(placed):
    working, moved = threading.Event(), threading.Event()
    failures = iter([RuntimeError("out of memory")])

    def decode():
        if not moved.is_set():
            working.set()
            moved.wait(10)
            raise RuntimeError("expected all tensors to be on the same device")
        return "decoded"

    def encode():
        working.wait(10)
        for failure in failures:
            raise failure
        moved.set()
        return "encoded"

    assert sorted(in_two_threads(placed, decode, encode)) == ["decoded", "encoded"]


@pytest.fixture
def sam_file(tmp_path):
    path = tmp_path / "slices.safetensors"
    made = checkpoint(preprocessing="medsam")
    save_checkpoint(path, architecture="sam", config=made.config, weights=made.weights, provenance={})
    return path


def test_a_file_becomes_the_segmenter_of_its_family(sam_file):
    loaded = load_segmenter(sam_file, device="cpu")
    assert isinstance(loaded, TorchSliceSegmenter) and not isinstance(loaded, TorchSegmenter)
    assert (loaded.name, loaded.image_size, loaded.preprocessing) == ("slices", 64, "medsam")
    assert np.isfinite(loaded.decode(loaded.encode(values()), points=POINT[0], labels=POINT[1]).logits).all()
    assert "bfloat16" in load_segmenter(sam_file, device="cpu", precision="bfloat16").device_line


def test_plain_weights_of_sam_load_by_path_and_by_name(tmp_path, monkeypatch):
    """The released form: a bare state dict, here with every tensor backed by one number."""
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in build("sam").state_dict().items()}
    plain = {name: torch.full((1,), 0.01).expand(shape) for name, shape in shapes.items()}
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(tmp_path))
    for name, preprocessing in (("sam-vit-b", "sam"), ("medsam", "medsam")):
        path = catalogue.place_of(catalogue.entry_of(name))
        torch.save(plain, path)
        for given, called in ((path, path.stem), (name, name)):
            loaded = load_segmenter(given, device="cpu")
            assert (loaded.name, loaded.image_size, loaded.logits_size) == (called, 1024, 256)
            assert loaded.preprocessing == preprocessing


@pytest.mark.parametrize("name", ["sam-vit-b", "sam-vit-l", "sam-vit-h", "medsam"])
def test_a_model_that_is_not_installed_says_how_to_get_it(tmp_path, monkeypatch, name):
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(ValueError, match=f"'{name}' is not installed: run `sam3dseg models download {name}`, or save"):
        load_segmenter(name, device="cpu")


def test_models_of_other_families_are_named_with_their_command():
    with pytest.raises(ValueError, match="mine is a model for proposals .*; use it with `sam3dseg propose`"):
        segmenter_of(Checkpoint("sam_3d", {}), name="mine", device="cpu")
    with pytest.raises(ValueError, match="sam is a model for clicks in slices .* expected one for clicks in 3D"):
        traits_of(checkpoint())
