"""The Slicer module: its entry in the module list, its page, and its self-test."""

from __future__ import annotations

import qt
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

HOMEPAGE = "https://github.com/SAM3DSegment/SAM3DSegment"


class SAM3DSegment(ScriptedLoadableModule):
    """What the module list shows."""

    def __init__(self, parent) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("SAM 3D Segment")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = []
        parent.contributors = ["SAM3DSegment contributors"]
        parent.helpText = _(
            "Click a structure, get its 3D mask at once, correct it with more clicks. The masks come from a promptable "
            "3D network that runs on this computer. See the <a href='{url}#readme'>documentation</a>, or report "
            "<a href='{url}/issues'>a problem</a>."
        ).format(url=HOMEPAGE)
        parent.acknowledgementText = _(
            "The networks follow Segment Anything (Kirillov et al., 2023) and SAM-Med3D (Wang et al., 2023)."
        )


class SAM3DSegmentWidget(ScriptedLoadableModuleWidget):
    """The module's page: what it is, where to read on, and the engine that it found."""

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        self.layout.addWidget(self._text(f"<h3>{_('SAM 3D Segment')}</h3>"))
        self.layout.addWidget(self._text(_("Segmentation of 3D images by clicks, on this computer.")))
        links = _("<a href='{url}#readme'>Documentation</a> · <a href='{url}/issues'>Report a problem</a>")
        self.layout.addWidget(self._text(links.format(url=HOMEPAGE)))
        self.engineLabel = self._text(engineLine())
        self.layout.addWidget(self.engineLabel)
        self.layout.addStretch(1)

    @staticmethod
    def _text(text: str):
        label = qt.QLabel(text)
        label.wordWrap = True
        label.openExternalLinks = True
        return label


def engineLine() -> str:
    """One line on the engine: its version, and whether PyTorch is installed. Does not load PyTorch."""
    from importlib.util import find_spec

    import sam3dseg

    torch = _("PyTorch is installed") if find_spec("torch") else _("PyTorch is not installed")
    return _("Engine: sam3dseg {version}, {torch}.").format(version=sam3dseg.__version__, torch=torch)


class SAM3DSegmentTest(ScriptedLoadableModuleTest):
    """Runs inside Slicer: the engine lies beside the module and works without PyTorch."""

    def runTest(self) -> None:
        self.setUp()
        self.test_engineIsBesideTheModule()
        self.setUp()
        self.test_clicksAreValues()

    def test_engineIsBesideTheModule(self) -> None:
        import sam3dseg

        self.assertIn(sam3dseg.__version__, engineLine())

    def test_clicksAreValues(self) -> None:
        from sam3dseg import Click

        self.assertEqual(Click((1, 2, 3)), Click((1, 2, 3), is_foreground=True))
