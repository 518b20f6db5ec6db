"""The module's page: what it is, trying it out, models, training, and where to read on."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

import sam3dseg

from ..Models.ModelManager import ModelManager
from ..Setup.SampleCase import SAMPLE, isSampleCached, loadSample, openInEditor
from ..Setup.TorchSetup import PAGE, Resume, TorchSetup
from ..Setup.TorchSetup import SAMPLE as RESUME_SAMPLE
from .TrainingPanel import TrainingPanel

HOMEPAGE = "https://github.com/SAM3DSegment/SAM3DSegment"
EFFECT = "SAM3DSegment"  # the effect's name in the Segment Editor
TITLES = ("start", "models", "training", "about")


class ModulePage:
    """Four tabs. setup, confirm and open_ are Slicer's own by default; open_(volume) opens the Segment Editor."""

    def __init__(
        self,
        layout: Any,
        *,
        setup: TorchSetup | None = None,
        confirm: Callable[[str], bool] | None = None,
        open_: Callable[[Any], Any] | None = None,
    ) -> None:
        self.setup = setup or TorchSetup(slicer)
        self._confirm = confirm or slicer.util.confirmYesNoDisplay
        self._open = open_ or (lambda volume: openInEditor(slicer, volume, EFFECT))
        self.manager = ModelManager()
        self.training = TrainingPanel(prepare=self._torchIsReady)
        self.tabs = qt.QTabWidget()
        self.tabs.addTab(self._startTab(), _("Start"))
        self.tabs.addTab(self.manager.widget, _("Models"))
        self.tabs.addTab(self.training.widget, _("Training"))
        self.tabs.addTab(self._aboutTab(), _("About"))
        self.tabs.connect("currentChanged(int)", self._onTab)
        layout.addWidget(self.tabs)
        self.refresh()

    def show(self, title: str) -> None:
        """Bring one of TITLES to the front."""
        self.tabs.setCurrentIndex(TITLES.index(title))

    def refresh(self) -> None:
        """Show what is installed now."""
        self.engineLabel.setText(engineLine())
        self.torchLabel.setText(self.setup.explanation())
        self.torchButton.setVisible(bool(self.setup.missing))
        self.manager.refresh()

    def close(self) -> None:
        self.manager.close()
        self.training.close()

    # ---- tabs --------------------------------------------------------------------------------------------------

    def _startTab(self) -> qt.QWidget:
        tab = qt.QWidget()
        layout = qt.QVBoxLayout(tab)
        layout.addWidget(
            _text(
                _(
                    "<h3>SAM 3D Segment</h3>Click a structure, get its 3D mask at once, correct it with more clicks. "
                    "It is the effect <b>SAM 3D</b> of the Segment Editor; everything is computed on this computer."
                    "<ol><li>Load an image, open the <b>Segment Editor</b>, add a segment.</li>"
                    "<li>Choose the effect <b>SAM 3D</b> and click inside the structure, in any view.</li>"
                    "<li>Click with Ctrl or Shift where the mask holds too much; click again where it lacks "
                    "something.</li></ol>"
                )
            )
        )
        self.tryButton = qt.QPushButton(_("Try it"))
        self.tryButton.setToolTip(_("Load an example image and open the Segment Editor with the effect"))
        self.tryButton.connect("clicked()", self.onTryIt)
        self.torchLabel = _text("")
        self.torchButton = qt.QPushButton(_("Install PyTorch…"))
        self.torchButton.connect("clicked()", self.onInstallTorch)
        self.engineLabel = _text("")
        for widget in (self.tryButton, self.torchLabel, self.torchButton, self.engineLabel):
            layout.addWidget(widget)
        layout.addStretch(1)
        return tab

    def _aboutTab(self) -> qt.QWidget:
        tab = qt.QWidget()
        layout = qt.QVBoxLayout(tab)
        links = _(
            "<a href='{url}#readme'>Documentation</a> · <a href='{url}/tree/main/docs/tutorial'>Tutorial</a> · "
            "<a href='{url}/tree/main/Training#readme'>Training</a> · <a href='{url}/issues'>Report a problem</a>"
        )
        layout.addWidget(_text(links.format(url=HOMEPAGE)))
        self.citationLabel = _text(
            _(
                "<b>Please cite</b> the model you used (its citation is on the tab Models), and:<br>"
                "SAM3DSegment contributors. SAM3DSegment {version}. {url}<br>"
                "Kirillov et al. Segment Anything. arXiv 2304.02643<br>"
                "Wang et al. SAM-Med3D. arXiv 2310.15161, doi 10.1109/TNNLS.2025.3586694<br><br>"
                "Licence: Apache-2.0. For research; not a medical device."
            ).format(version=sam3dseg.__version__, url=HOMEPAGE)
        )
        layout.addWidget(self.citationLabel)
        layout.addStretch(1)
        return tab

    # ---- what the user does ------------------------------------------------------------------------------------

    def onTryIt(self) -> None:
        """Load an example image and open the Segment Editor with the effect; PyTorch is asked for first."""
        if not self._torchIsReady(Resume(RESUME_SAMPLE)):
            return
        wants = not isSampleCached(slicer) and self._confirm(
            _(
                "Download Slicer's example image '{name}' (about 4 MB)?\n\n"
                "Without it, a made-up image is taken, which needs no network."
            ).format(name=SAMPLE)
        )
        self.openSample(mayDownload=wants)

    def openSample(self, *, mayDownload: bool) -> None:
        volume = loadSample(slicer, mayDownload=mayDownload)
        try:
            self._open(volume)
        except RuntimeError as error:
            slicer.util.errorDisplay(str(error))

    def onInstallTorch(self) -> None:
        self._torchIsReady(Resume(PAGE))

    def resume(self, point: Resume) -> None:
        """Go on where a restart interrupted the installation."""
        if point.place == RESUME_SAMPLE:
            self.onTryIt()
        else:
            self._torchIsReady(point)

    def _torchIsReady(self, resume: Resume = Resume()) -> bool:  # noqa: B008 - a frozen value
        ready = not self.setup.missing or self.setup.offer(resume)
        self.refresh()
        return ready

    def _onTab(self, index: int) -> None:
        if TITLES[index] == "training":
            self.training.readCommands()


def engineLine() -> str:
    """One line on the engine: its version, and whether PyTorch is installed. Does not load PyTorch."""
    torch = _("PyTorch is installed") if find_spec("torch") else _("PyTorch is not installed")
    return _("Engine: sam3dseg {version}, {torch}.").format(version=sam3dseg.__version__, torch=torch)


def _text(text: str) -> qt.QLabel:
    label = qt.QLabel(text)
    label.setWordWrap(True)
    label.setOpenExternalLinks(True)
    label.setTextInteractionFlags(qt.Qt.TextBrowserInteraction)
    return label
