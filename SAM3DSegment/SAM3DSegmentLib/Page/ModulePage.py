"""The module's page: what it is, trying it out, models, training, and where to read on."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

import sam3dseg

from ..Models import ModelTexts as texts
from ..Models.ModelManager import ModelManager
from ..Setup.SampleCase import SAMPLE, isSampleCached, loadSample, openInEditor
from ..Setup.TorchSetup import PAGE, Resume, TorchSetup
from ..Setup.TorchSetup import SAMPLE as RESUME_SAMPLE
from .TrainingPanel import TrainingPanel

HOMEPAGE = "https://github.com/SAM3DSegment/SAM3DSegment"
PAPERS = {
    "sam": "https://arxiv.org/abs/2304.02643",
    "med": "https://arxiv.org/abs/2310.15161",
    "doi": "https://doi.org/10.1109/TNNLS.2025.3586694",
}
ICON = Path(__file__).parents[2] / "Resources" / "Icons" / "SAM3DSegment.png"
ICON_PX = 40
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
        self.manager.store.addListener(self._showModel)
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
        isMissing = bool(self.setup.missing)
        self.torchLabel.setText(self.setup.explanation())
        self.torchLabel.setVisible(isMissing)
        self.torchButton.setVisible(isMissing)
        self.manager.refresh()
        self._showModel()

    def _showModel(self) -> None:
        store = self.manager.store
        self.modelLabel.setText(
            _("Model: <b>{model}</b>, on {device}. Both can be changed in the effect.").format(
                model=texts.title(store.model(store.selected)), device=texts.deviceInWords(store.device)
            )
        )

    def close(self) -> None:
        self.manager.store.removeListener(self._showModel)
        self.manager.close()
        self.training.close()

    # ---- tabs --------------------------------------------------------------------------------------------------

    def _startTab(self) -> qt.QWidget:
        tab = qt.QWidget()
        layout = qt.QVBoxLayout(tab)
        layout.addLayout(_heading())
        layout.addWidget(
            _text(
                _(
                    "Click a structure, get its 3D mask at once, correct it with more clicks. "
                    "It is the effect <b>SAM 3D</b> of the Segment Editor; everything is computed on this computer."
                    "<ol><li>Load an image, open the <b>Segment Editor</b>, add a segment.</li>"
                    "<li>Choose the effect <b>SAM 3D</b> and click inside the structure, in any view.</li>"
                    "<li>Click with Ctrl or Shift where the mask holds too much; click again where it lacks "
                    "something.</li></ol>"
                )
            )
        )
        self.modelLabel = _text("")
        self.tryButton = qt.QPushButton(_("Try it"))
        self.tryButton.setToolTip(_("Load an example image and open the Segment Editor with the effect"))
        self.tryButton.connect("clicked()", self.onTryIt)
        self.torchLabel = _text("")
        self.torchButton = qt.QPushButton(_("Install PyTorch…"))
        self.torchButton.connect("clicked()", self.onInstallTorch)
        self.engineLabel = _text("")
        for widget in (self.torchLabel, self.torchButton, self.tryButton, self.modelLabel):
            layout.addWidget(widget)
        layout.addStretch(1)
        layout.addWidget(self.engineLabel)
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
                "<h4>Please cite</h4>The model you used (its citation is on the tab Models), and:<ul>"
                "<li>SAM3DSegment contributors. SAM3DSegment {version}. <a href='{url}'>{url}</a></li>"
                "<li>Kirillov et al. Segment Anything. <a href='{sam}'>arXiv 2304.02643</a></li>"
                "<li>Wang et al. SAM-Med3D. <a href='{med}'>arXiv 2310.15161</a>, "
                "<a href='{doi}'>doi 10.1109/TNNLS.2025.3586694</a></li></ul>"
                "<h4>Licence</h4>Apache-2.0; models have their own, shown on the tab Models. "
                "For research; not a medical device."
            ).format(version=sam3dseg.__version__, url=HOMEPAGE, **PAPERS)
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


def _heading() -> qt.QHBoxLayout:
    layout = qt.QHBoxLayout()
    icon = qt.QLabel()
    icon.setPixmap(qt.QIcon(str(ICON)).pixmap(qt.QSize(ICON_PX, ICON_PX)))
    layout.addWidget(icon)
    layout.addWidget(_text(f"<h2>{_('SAM 3D Segment')}</h2>"), 1)
    return layout


def _text(text: str) -> qt.QLabel:
    label = qt.QLabel(text)
    label.setWordWrap(True)
    label.setOpenExternalLinks(True)
    label.setTextInteractionFlags(qt.Qt.TextBrowserInteraction)
    return label
