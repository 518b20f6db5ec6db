"""`sam3dseg-train visualize`: pictures and meshes of references and results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("monai")
pytest.importorskip("SimpleITK")
pytest.importorskip("trimesh")

import evaluation_toys
import training_cases

from sam3dseg.checkpoint import Checkpoint
from sam3dseg.prompts import Click
from sam3dseg_training.configs.evaluate import VisualizeConfig
from sam3dseg_training.evaluation import visualize as module
from sam3dseg_training.evaluation.pictures import Layer, planes_picture, png, slices_picture
from sam3dseg_training.evaluation.visualize import file_name, visualize

ORIGIN_MM = (10.0, -20.0, 30.0)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    return training_cases.cached(root, training_cases.write_msd(root / "toy", origin=ORIGIN_MM))


@pytest.fixture
def config(cache, tmp_path, monkeypatch, make_segmenter):
    """Any model is one that finds what is as bright as the click."""

    class Model:
        name, checkpoint = "threshold", Checkpoint("compact", {})

        def segmenter(self, device):
            return make_segmenter()

    monkeypatch.setattr(module, "open_model", lambda source: Model())
    return VisualizeConfig(data=str(cache.folder), out=str(tmp_path / "out"), folds=3, clicks=1, slices=3)


def test_pictures_and_meshes_of_the_first_held_out_case(config):
    files = visualize(replace(config, baseline="embedded"))
    names = {str(file.relative_to(config.out)) for file in files}
    labels, states = ("Front", "Back"), ("reference", "before", "after")
    assert names == {
        "toy/case_000/overlay.png",
        *(f"toy/case_000/{label}-slices.png" for label in labels),
        *(f"toy/case_000/{label}-{state}.stl" for label in labels for state in states),
    }
    assert all(file.stat().st_size for file in files)
    assert (Path(config.out) / "config.yaml").is_file()


def test_without_a_baseline_and_without_meshes(config):
    names = {file.name for file in visualize(replace(config, meshes="none", labels=["Front+Back"]))}
    assert names == {"overlay.png", "Front+Back-slices.png"}


def test_meshes_lie_where_the_structure_lies_in_the_patient(config, cache):
    import trimesh

    visualize(replace(config, meshes="obj"))
    mesh = trimesh.load(Path(config.out) / "toy" / "case_000" / "Front-reference.obj")
    case = cache.read("toy/case_000")
    inside = case.as_image().ras_of(np.argwhere(case.mask("Front"))) * (-1, -1, 1)  # LPS, as the file says
    half = np.array(case.spacing_mm) / 2
    assert mesh.bounds == pytest.approx(np.stack([inside.min(axis=0) - half, inside.max(axis=0) + half]), abs=0.6)


def test_an_empty_result_has_no_mesh_and_takes_away_an_older_one(config, monkeypatch, caplog):
    visualize(config)
    path = Path(config.out) / "toy" / "case_000" / "Front-after.stl"
    assert path.is_file()
    whole = module.judge

    def judge(*arguments, **options):
        return [replace(result, mask=type(result.mask)()) for result in whole(*arguments, **options)]

    monkeypatch.setattr(module, "judge", judge)
    visualize(config)
    assert not path.is_file()
    assert "the after of Front is empty" in caplog.text


def test_cases_by_name(config, tmp_path):
    files = visualize(replace(config, cases=["case_002", "toy/case_001"], meshes="none"))
    assert {file.parent.name for file in files} == {"case_001", "case_002"}
    with pytest.raises(ValueError, match=r"no case 'case_02' among the 3 of .*: did you mean case_002\?"):
        visualize(replace(config, cases=["case_02"]))


def test_a_name_in_two_data_sets_is_to_be_given_in_full(config, tmp_path):
    sets = [training_cases.write_msd(tmp_path / name, count=1) for name in ("a", "b")]
    cache = training_cases.cached(tmp_path, *sets)
    with pytest.raises(ValueError, match="2 cases are named 'case_000': expected one of a/case_000, b/case_000"):
        visualize(replace(config, data=str(cache.folder), cases=["case_000"]))
    assert visualize(replace(config, data=str(cache.folder), cases=["b/case_000"], meshes="none"))


@pytest.mark.parametrize(
    ("label", "expected"), [("Left lung/upper", "Left-lung-upper"), ("a+b", "a+b"), ("../..", "label"), ("é 1", "é-1")]
)
def test_labels_as_file_names(label, expected):
    assert file_name(label) == expected


class TestPictures:
    @pytest.fixture
    def case(self, cache):
        return cache.read("toy/case_000")

    def test_slices_are_spread_over_what_is_there_along_the_longest_voxels(self, case):
        reference = case.mask("Front")  # slices 4 to 9 of 14
        figure = slices_picture(case, reference, [Layer("after", reference, "#ff0000")], slices=3)
        texts = [text.get_text() for axes in figure.axes for text in axes.texts]
        assert texts == ["Axial 8", "Axial 7", "Axial 5"]
        assert len(figure.axes) == 3 * 2
        assert all(reference[:, :, int(text.split()[1]) - 1].any() for text in texts)

    def test_no_slice_is_shown_twice(self, case):
        one = np.zeros_like(case.mask("Front"))
        one[5, 6, 4] = True
        assert len(slices_picture(case, one, [], slices=8).axes) == 1

    def test_clicks_are_marked_on_the_planes_they_lie_in(self, case):
        reference = case.mask("Front")
        middle = tuple(int(reference.sum(axis=tuple(a for a in range(3) if a != axis)).argmax()) for axis in range(3))
        layer = Layer("reference", reference, "#00ff00")
        marked = planes_picture(case, [layer], clicks=[Click(middle)])
        away = planes_picture(case, [layer], clicks=[Click((0, 0, 0))])
        assert [len(axes.lines) for axes in marked.axes] == [2, 2, 2]
        assert [len(axes.lines) for axes in away.axes] == [0, 0, 0]

    def test_no_layer_at_all_shows_the_whole_image(self, case):
        none = np.zeros(case.image.shape, bool)
        assert png(planes_picture(case, [Layer("$nothing$", none, "#ff0000")])).startswith(b"\x89PNG")


def test_a_real_checkpoint_can_be_shown(cache, tmp_path):
    model = evaluation_toys.model_file(tmp_path / "tiny.safetensors")
    config = VisualizeConfig(
        data=str(cache.folder), out=str(tmp_path / "out"), model=str(model), folds=3, clicks=1, slices=1, meshes="none"
    )
    assert len(visualize(config)) == 3
