"""The Slicer module: its entry in the module list, its page, its effect's registration, and its self-test."""

from __future__ import annotations

from pathlib import Path

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

HOMEPAGE = "https://github.com/SAM3DSegment/SAM3DSegment"


class SAM3DSegment(ScriptedLoadableModule):
    """What the module list shows; when the application has started, the effect joins the Segment Editor's."""

    def __init__(self, parent) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("SAM 3D Segment")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["SegmentEditor"]
        parent.contributors = ["SAM3DSegment contributors"]
        parent.helpText = _(
            "Click a structure, get its 3D mask at once, correct it with more clicks. The masks come from a promptable "
            "3D network that runs on this computer. See the <a href='{url}#readme'>documentation</a>, or report "
            "<a href='{url}/issues'>a problem</a>."
        ).format(url=HOMEPAGE)
        parent.acknowledgementText = _(
            "The networks follow Segment Anything (Kirillov et al., 2023) and SAM-Med3D (Wang et al., 2023)."
        )
        slicer.app.connect("startupCompleted()", onStartupCompleted)


class SAM3DSegmentWidget(ScriptedLoadableModuleWidget):
    """The module's page."""

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        from SAM3DSegmentLib.Page.ModulePage import ModulePage

        self.page = ModulePage(self.layout)

    def enter(self) -> None:
        self.page.refresh()

    def cleanup(self) -> None:
        self.page.close()


def onStartupCompleted() -> None:
    """Register the effect, and go on with an installation that asked for the restart."""
    registerEffect()
    from SAM3DSegmentLib.Setup.Resumption import resumeAfterRestart

    resumeAfterRestart()


def registerEffect() -> None:
    """Give the effect to the Segment Editor.

    The package is imported first: Slicer looks for the class in it, and would otherwise put the file in its place.
    """
    import qSlicerSegmentationsEditorEffectsPythonQt as effects

    import SAM3DSegmentLib

    effect = effects.qSlicerSegmentEditorScriptedEffect(None)
    source = Path(SAM3DSegmentLib.__file__).with_name("SegmentEditorEffect.py")
    effect.setPythonSource(source.as_posix())
    effect.self().register()


class SAM3DSegmentTest(ScriptedLoadableModuleTest):
    """Runs inside Slicer, without network and GPU; empties the scene."""

    def runTest(self) -> None:
        from SAM3DSegmentLib.SelfTest.SelfTest import runSelfTest

        runSelfTest(self.delayDisplay)
