from __future__ import annotations

import logging
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from slicer_host.scene import Scene

from SAM3DSegmentLib.Setup import SampleCase


@pytest.fixture
def scene():
    scene = Scene()
    yield scene
    scene.close()


@pytest.fixture
def slicer(scene):
    import slicer

    return slicer


def sampleData(monkeypatch, download) -> None:
    module = ModuleType("SampleData")
    module.SampleDataLogic = lambda: SimpleNamespace(downloadMRHead=download)
    monkeypatch.setitem(sys.modules, "SampleData", module)


def test_the_phantom_is_always_the_same_and_looks_like_ct():
    first = SampleCase.phantom()
    assert first.dtype == np.int16
    assert first.shape == SampleCase.SHAPE
    assert np.array_equal(first, SampleCase.phantom())
    for name in ("liver", "spleen", "right kidney"):
        organ = SampleCase.organ(name)
        assert abs(np.median(first[SampleCase.insideOf(organ)]) - organ.hu) < 40
    with pytest.raises(ValueError, match="expected one of cavity, liver"):
        SampleCase.organ("heart")


def test_the_phantom_stands_in_the_middle_of_the_world(scene, slicer):
    node = SampleCase.phantomVolume(slicer)
    organ = SampleCase.organ("spleen")
    matrix = slicer.vtkMatrix4x4() if hasattr(slicer, "vtkMatrix4x4") else __import__("vtk").vtkMatrix4x4()
    node.GetRASToIJKMatrix(matrix)
    i, j, k = (round(v) for v in matrix.MultiplyPoint((*organ.centre, 1))[:3])
    array = slicer.util.arrayFromVolume(node)
    assert abs(int(array[k, j, i]) - organ.hu) < 40
    assert node.GetSpacing() == pytest.approx(SampleCase.SPACING_MM)
    assert scene.errors == []


@pytest.mark.parametrize("name", ["liver", "spleen", "right kidney"])
def test_a_click_and_a_correction_with_the_embedded_model_find_the_organ(name):
    from sam3dseg.demo import dice
    from sam3dseg.prompts import Click
    from sam3dseg.segmenter import load_segmenter
    from sam3dseg.session import Session
    from sam3dseg.simulated_user import next_click

    organ = SampleCase.organ(name)
    reference = SampleCase.insideOf(organ)
    session = Session(load_segmenter("embedded", "cpu"))
    session.set_image(SampleCase.phantom(), spacing_mm=SampleCase.SPACING_MM, direction=np.eye(3))
    place = zip(organ.centre, SampleCase.SPACING_MM, SampleCase.SHAPE, strict=True)
    mask = session.add(Click(tuple(round(c / s + (n - 1) / 2) for c, s, n in place)))
    mask = session.add(next_click(reference, mask))
    assert dice(mask, reference) > 0.7


def test_slicers_sample_is_taken_when_it_may_be_downloaded(scene, slicer, monkeypatch):
    sampleData(monkeypatch, lambda: "MRHead node")
    assert SampleCase.loadSample(slicer, mayDownload=True) == "MRHead node"
    assert SampleCase.loadSample(slicer, mayDownload=False).GetName() == SampleCase.PHANTOM


def test_slicers_sample_is_taken_from_the_cache_without_a_network(scene, slicer, monkeypatch, tmp_path):
    sampleData(monkeypatch, lambda: "MRHead node")
    cache = SimpleNamespace(GetRemoteCacheDirectory=lambda: str(tmp_path))
    app = SimpleNamespace(util=slicer.util, mrmlScene=SimpleNamespace(GetCacheManager=lambda: cache))
    assert not SampleCase.isSampleCached(app)
    (tmp_path / SampleCase.SAMPLE_FILE).touch()
    assert SampleCase.loadSample(app, mayDownload=False) == "MRHead node"


@pytest.mark.parametrize("kind", ["raises", "none", "missing"])
def test_without_a_network_the_phantom_is_taken(scene, slicer, monkeypatch, caplog, kind):
    def download():
        if kind == "raises":
            raise ValueError("no connection")

    if kind == "missing":
        monkeypatch.setitem(sys.modules, "SampleData", None)
    else:
        sampleData(monkeypatch, download)
    with caplog.at_level(logging.WARNING):
        assert SampleCase.loadSample(slicer, mayDownload=True).GetName() == SampleCase.PHANTOM
    assert "going on with the made-up volume" in caplog.text


def test_the_segment_editor_opens_with_the_effect(scene, slicer, monkeypatch):
    calls = []

    class Editor:
        def __getattr__(self, name):
            return lambda *values: calls.append((name, *values))

        def effectByName(self, name):
            return name if name == "SAM3DSegment" else None

    widget = SimpleNamespace(self=lambda: SimpleNamespace(editor=Editor()))
    module = SimpleNamespace(widgetRepresentation=lambda: widget)
    util = SimpleNamespace(
        setSliceViewerLayers=lambda **shown: calls.append(("shown", shown["background"].GetName())),
        selectModule=lambda name: calls.append(("module", name)),
    )
    volume = SampleCase.phantomVolume(slicer)
    app = SimpleNamespace(util=util, mrmlScene=scene.mrml, modules=SimpleNamespace(segmenteditor=module))
    SampleCase.openInEditor(app, volume, "SAM3DSegment")
    assert calls[:2] == [("shown", SampleCase.PHANTOM), ("module", "SegmentEditor")]
    done = {name: values[0] for name, *values in calls}
    segmentation = done["setSegmentationNode"]
    assert done["setSourceVolumeNode"] is volume
    assert done["setActiveEffectByName"] == "SAM3DSegment"
    assert segmentation.GetSegmentation().GetSegment(done["setCurrentSegmentID"])
    assert segmentation.GetNodeReference("referenceImageGeometryRef") is volume
    with pytest.raises(RuntimeError, match="restart the application"):
        SampleCase.openInEditor(app, volume, "Other")
