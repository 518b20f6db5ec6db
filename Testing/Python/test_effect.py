"""The effect as Slicer sees it: registration, life, parameters, several editors, reload."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("PySide6")
pytest.importorskip("slicer")

from slicer_host.effect_bench import NAME, EffectBench  # noqa: E402

MODULE = Path(__file__).resolve().parents[2] / "SAM3DSegment"
HERE = Path(__file__).parent


@pytest.fixture
def bench():
    bench = EffectBench()
    yield bench
    bench.close()
    assert bench.scene.errors == []


def test_name_title_icon_and_help(bench):
    assert bench.scripted.name == NAME
    assert bench.scripted.title == "SAM 3D"
    icon = bench.scripted.icon()
    sizes = [(size.width(), size.height()) for size in icon.availableSizes()]
    assert sizes == [(24, 24), (128, 128)]  # Slicer draws the first one into the mouse cursor
    text = bench.scripted.helpText()
    assert "Left click" in text and "foreground" in text
    assert "Ctrl or Shift + left click" in text and "background" in text


def test_every_editor_has_its_own_copy_and_the_logic_is_shared(bench):
    second = bench.addEditor()
    bench.activate()
    bench.activate(second)
    assert bench.effect is not bench.registered
    assert second.effects[NAME].self() is not bench.effect
    assert len(bench.logic.listeners) == 2
    bench.effect.controller.setSign(False)
    assert bench.editor.node.GetAttribute("SAM3DSegment.Sign") == "background"
    assert second.node.GetAttribute("SAM3DSegment.Sign") == "foreground"


def test_parameters_are_on_the_parameter_node_with_defaults(bench):
    values = {
        name: bench.editor.node.GetAttribute(f"SAM3DSegment.{name}") for name in ("Sign", "ShowHint", "ShowChange")
    }
    assert values == {"Sign": "foreground", "ShowHint": "0", "ShowChange": "1"}


def test_choices_are_kept_for_the_next_scene(bench):
    bench.activate()
    bench.options.hintBox.checked = True
    bench.controller.setSign(False)
    second = bench.addEditor()
    assert second.node.GetAttribute("SAM3DSegment.ShowHint") == "1"
    assert second.node.GetAttribute("SAM3DSegment.Sign") == "foreground"  # of the moment, no habit


def test_parameters_of_a_scene_are_shown(bench):
    bench.activate()
    bench.editor.node.SetAttribute("SAM3DSegment.ShowHint", "1")
    bench.editor.node.SetAttribute("SAM3DSegment.Sign", "background")
    bench.scripted.updateGUIFromMRML()
    assert bench.options.hintBox.checked
    assert bench.options.outsideButton.checked and not bench.options.insideButton.checked


def test_logic_is_asked_for_at_the_first_activation_only(bench):
    asked = []
    bench.controller._makeLogic = lambda: asked.append(1) or bench.logic
    assert asked == []
    for _ in range(3):
        bench.activate()
        bench.deactivate()
    assert asked == [1]
    assert bench.logic.models == [("embedded", "auto", None)]


def test_a_request_that_runs_when_the_effect_is_left_is_still_polled(bench):
    bench.activate()
    bench.logic.isBusy = True
    bench.controller.replay()
    bench.deactivate()
    before = bench.logic.polls
    bench.host.wait(lambda: bench.logic.polls > before + 2, timeout_s=2)
    assert bench.logic.cancels == 0


def test_polls_only_while_busy(bench):
    bench.activate()
    bench.logic.isBusy = True
    bench.controller.replay()
    bench.host.wait(lambda: bench.logic.polls > 2, timeout_s=2)
    bench.logic.isBusy = False
    bench.host.run(0.05)
    before = bench.logic.polls
    bench.host.run(0.1)
    assert bench.logic.polls == before


def test_a_change_of_the_segment_by_others_is_polled_once(bench):
    import slicer

    bench.activate()
    bench.host.run(0.05)
    before = bench.logic.polls
    bench.segmentation.GetSegmentation().InvokeEvent(slicer.vtkSegmentation.SourceRepresentationModified)
    bench.host.run(0.1)
    assert before < bench.logic.polls <= before + 2


def test_what_happens_while_the_effect_is_not_active_is_read_when_it_is_again(bench):
    """The strokes of another effect are not slowed down by a frame that nobody sees."""
    bench.activate()
    bench.deactivate()
    bench.logic.statusOf = None  # must not be asked
    bench.logic.tell("changed", None)
    bench.host.run(0.03)
    bench.logic.statusOf = lambda target: bench.data.Status(text="new")
    bench.activate()
    assert bench.options.statusLabel.text == "new"


def test_destroyed_editor_cancels_and_lets_go(bench):
    bench.activate()
    bench.logic.isBusy = True
    bench.controller.replay()
    bench.editor.close()
    assert bench.logic.cancels == 1
    assert bench.logic.listeners == []
    polls = bench.logic.polls
    bench.host.run(0.05)
    assert bench.logic.polls == polls


def test_deactivate_leaves_nothing_in_the_scene(bench):
    before = bench.scene.mrml.GetNumberOfNodes()
    prompt = bench.data.Prompt((20.0, 20.0, 20.0), True)
    bench.logic.status = bench.data.Status(prompts=(prompt,), hintRas=(10.0, 10.0, 10.0), length=2, position=1)
    bench.activate()
    bench.options.hintBox.checked = True
    bench.options.boxButton.click()
    names = [bench.scene.mrml.GetNthNode(n).GetName() for n in range(bench.scene.mrml.GetNumberOfNodes())]
    assert {"SAM 3D prompts", "SAM 3D hint", "SAM 3D box"} <= set(names)
    bench.deactivate()
    left = [bench.scene.mrml.GetNthNode(n) for n in range(bench.scene.mrml.GetNumberOfNodes())]
    assert not [node.GetName() for node in left if (node.GetName() or "").startswith("SAM 3D")]
    assert len(left) <= before + 1  # Slicer keeps the markups' own default display node


def test_prompts_follow_the_selected_segment(bench):
    bench.activate()
    bench.logic.status = bench.data.Status(prompts=(bench.data.Prompt((20.0, 20.0, 20.0), True),))
    bench.editor.selectSegment("Segment_2")
    assert bench.controller._prompts.markupsNode.GetNumberOfControlPoints() == 1


def test_scene_close_while_active(bench):
    bench.logic.status = bench.data.Status(prompts=(bench.data.Prompt((20.0, 20.0, 20.0), True),))
    bench.activate()
    bench.scene.mrml.Clear(False)
    bench.controller.refresh()
    bench.host.run(0.05)
    bench.controller.replay()
    assert "Choose a source volume" in bench.options.errorLabel.text


def test_works_without_a_main_window():
    bench = EffectBench(mainWindow=False)
    try:
        bench.activate()
        bench.deactivate()
        assert bench.scene.errors == []
    finally:
        bench.close()


def test_reloaded_package_serves_new_editors(bench):
    old = type(bench.effect)
    for name in [name for name in sys.modules if name.split(".")[0] == "SAM3DSegmentLib"]:
        del sys.modules[name]
    bench.activate()  # the old copy goes on
    bench.host.registerEffect()
    editor = bench.host.addEditor(bench.segmentation, bench.volume)
    assert type(editor.effects[NAME].self()) is not old
    bench.deactivate()


def test_place_mode_does_not_leave_the_effect(bench):
    bench.activate()
    interaction = bench.scene.mrml.GetNodeByID("vtkMRMLInteractionNodeSingleton")
    interaction.SetCurrentInteractionMode(interaction.Place)
    assert bench.editor.activeEffect is bench.scripted


ACTIVATION = f"""
import sys
sys.path[:0] = [{str(HERE)!r}]
sys.path.append({str(MODULE)!r})
from slicer_host.qt_host import QtHost
import numpy as np
host = QtHost()
host.registerEffect()
volume = host.scene.addVolume(np.zeros((8, 8, 8), np.int16))
editor = host.addEditor(host.scene.addSegmentation(volume), volume)
editor.setActiveEffectByName("SAM3DSegment")
assert editor.activeEffect is not None
assert "torch" not in sys.modules, "torch was imported"
assert host.scene.errors == []
editor.close()
host.close()
"""


def test_activation_loads_no_torch():
    subprocess.run([sys.executable, "-c", ACTIVATION], check=True, timeout=120)


def test_package_without_qt():
    code = f"""
import sys
sys.path.append({str(MODULE)!r})
import SAM3DSegmentLib, SAM3DSegmentLib.Editor.EditorLogic
assert not hasattr(SAM3DSegmentLib, "SegmentEditorEffect")
assert "torch" not in sys.modules and "qt" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
