"""The rows for models of slices: there for those models only, kept with the scene, and heard by the logic."""

from __future__ import annotations

import pytest

pytest.importorskip("PySide6")
pytest.importorskip("slicer")

from slicer_host.effect_bench import EffectBench  # noqa: E402
from slicer_host.weights_files import addOwn, weightsFile  # noqa: E402

from sam3dseg import catalogue  # noqa: E402


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(tmp_path / "models"))
    bench = EffectBench()
    bench.activate()
    yield bench
    bench.controller.modelSelector.store.select("embedded")
    bench.close()
    assert bench.scene.errors == []


@pytest.fixture
def key(bench, tmp_path):
    """An own model of slices, chosen."""
    store = bench.controller.modelSelector.store
    return addOwn(store, weightsFile(tmp_path / "mine.safetensors", "sam"), select=True)


def rowsOf(bench):
    return [widget for widget in bench.options.slices._rows if not widget.isHidden()]


def choose(box, value):
    """As the user does it with the mouse."""
    box.setCurrentIndex(box.findData(value))
    box.activated.emit(box.currentIndex)


def test_rows_are_there_for_models_of_slices_only(bench, tmp_path):
    assert rowsOf(bench) == []
    store = bench.controller.modelSelector.store
    addOwn(store, weightsFile(tmp_path / "mine.safetensors", "sam"), select=True)
    assert len(rowsOf(bench)) == 4
    addOwn(store, weightsFile(tmp_path / "cubes.safetensors", "compact"), select=True)
    assert rowsOf(bench) == []
    assert [model[2] for model in bench.logic.models] == [None, {"orientation": "auto", "direction": "both"}, None]


def test_a_catalogue_model_of_slices_has_them_too(bench, monkeypatch):
    entry = catalogue.Entry(
        "flat", "slices", "https://example.org/flat.pth", 1, "MIT", "none", family="clicks in slices"
    )
    monkeypatch.setattr(catalogue, "ENTRIES", (*catalogue.ENTRIES, entry))
    catalogue.models_folder().mkdir(parents=True)
    catalogue.place_of(entry).write_bytes(b"weights")
    bench.controller.modelSelector.store.select("flat")
    assert len(rowsOf(bench)) == 4


def test_a_choice_reaches_the_logic_and_the_scene(bench, key):
    choose(bench.options.slices.orientationBox, "sagittal")
    choose(bench.options.slices.directionBox, "none")
    assert bench.logic.models[-1] == (key, "auto", {"orientation": "sagittal", "direction": "none"})
    node = bench.editor.node
    assert [node.GetAttribute(f"SAM3DSegment.{n}") for n in ("Orientation", "Direction")] == ["sagittal", "none"]


def test_the_choices_of_a_scene_are_shown_and_used(bench, key):
    bench.editor.node.SetAttribute("SAM3DSegment.Orientation", "coronal")
    bench.editor.node.SetAttribute("SAM3DSegment.Direction", "sideways")  # of another version
    bench.scripted.updateGUIFromMRML()
    options = bench.options.slices
    assert (options.orientationBox.currentData, options.directionBox.currentData) == ("coronal", "both")
    assert bench.logic.models[-1][2] == {"orientation": "coronal", "direction": "both"}


def test_every_editor_asks_with_its_own_choices(bench, key):
    second = bench.addEditor()
    bench.activate(second)
    choose(bench.controllerOf(second)._options.slices.orientationBox, "coronal")
    bench.controller.replay()
    assert bench.logic.models[-1][2]["orientation"] == "auto"
    bench.controllerOf(second).replay()
    assert bench.logic.models[-1][2]["orientation"] == "coronal"


def test_an_editor_that_is_not_active_keeps_its_choices_to_itself(bench, key):
    second = bench.addEditor()
    bench.activate(second)
    second.setActiveEffectByName("")
    count = len(bench.logic.models)
    second.node.SetAttribute("SAM3DSegment.Orientation", "coronal")
    second.effects["SAM3DSegment"].updateGUIFromMRML()
    assert len(bench.logic.models) == count


def test_every_choice_of_the_engine_is_offered(bench):
    from sam3dseg.slices.options import CHOICES

    boxes = {"orientation": bench.options.slices.orientationBox, "direction": bench.options.slices.directionBox}
    for name, box in boxes.items():
        assert tuple(box.itemData(row) for row in range(box.count)) == CHOICES[name]
        assert box.toolTip
