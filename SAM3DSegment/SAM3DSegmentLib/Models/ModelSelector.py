"""Which model on which device: two boxes that show and change the process-wide choice."""

from __future__ import annotations

from collections.abc import Callable

import qt
import slicer
from slicer.i18n import tr as _

from . import ModelTexts as texts
from .Model import OWN, READY
from .ModelStore import DEVICES, ModelStore, sharedStore

POLL_MS = 200


class ModelSelector:
    """`widget` is what to put into a layout. onChanged(key, device) follows every change of the choice, wherever it
    was made; at first read `key` and `device`.

    askFile() gives a path or ""; confirm(text) gives a bool; showError(text) shows one line: dialogs by default.
    """

    def __init__(
        self,
        store: ModelStore | None = None,
        *,
        onChanged: Callable[[str, str], None] | None = None,
        askFile: Callable[[], str] | None = None,
        confirm: Callable[[str], bool] | None = None,
        showError: Callable[[str], None] | None = None,
    ) -> None:
        self.store = store or sharedStore(slicer.app.userSettings())
        self._onChanged = onChanged
        self._askFile = askFile or self._fileDialog
        self._confirm = confirm or slicer.util.confirmOkCancelDisplay
        self._showError = showError or slicer.util.errorDisplay
        self._wanted = ""  # a model that is fetched because it was chosen here
        self.family = ""  # what the chosen model is for, as in Model
        self._known = (self.key, self.device)
        self.widget = qt.QWidget()
        self._build()
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_MS)
        self._timer.connect("timeout()", self.store.poll)
        self.store.addListener(self.refresh)
        self.refresh()

    @property
    def key(self) -> str:
        """What `load_segmenter` takes."""
        return self.store.selected

    @property
    def device(self) -> str:
        return self.store.device

    def close(self) -> None:
        """Stop listening; a running download goes on."""
        self._timer.stop()
        self.store.removeListener(self.refresh)

    def refresh(self) -> None:
        """Show what the store knows; take up a model that has arrived."""
        if self._wanted and self.store.model(self._wanted).state == READY:
            key, self._wanted = self._wanted, ""
            self.store.select(key)  # comes back here
            return
        models = self.store.clickModels()
        self.family = next(model.family for model in models if model.key == self.key)
        self._fill(self.modelBox, [(texts.choice(m), m.key, texts.tooltip(m)) for m in models], self.key)
        self._fill(self.deviceBox, [(texts.device(name), name, "") for name in DEVICES], self.device)
        self._showTransfer()
        if (self.key, self.device) != self._known:
            self._known = (self.key, self.device)
            if self._onChanged:
                self._onChanged(*self._known)

    # ---- widgets -----------------------------------------------------------------------------------------------

    def _build(self) -> None:
        layout = qt.QGridLayout(self.widget)
        layout.setContentsMargins(0, 0, 0, 0)
        self.modelBox = qt.QComboBox()
        self.modelBox.setToolTip(_("The network that turns clicks into masks. Models are downloaded only when asked."))
        self.modelBox.setSizeAdjustPolicy(qt.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        self.modelBox.connect("activated(int)", self._onModel)
        self.fileButton = qt.QToolButton()
        self.fileButton.setText("…")
        self.fileButton.setToolTip(_("Choose a checkpoint or adapter file of your own"))
        self.fileButton.connect("clicked()", self._onOwnFile)
        self.deviceBox = qt.QComboBox()
        self.deviceBox.setToolTip(_("Where the network computes. Automatic takes a graphics card if there is one."))
        self.deviceBox.connect("activated(int)", self._onDevice)
        self.progressBar = qt.QProgressBar()
        self.cancelButton = qt.QToolButton()
        self.cancelButton.setText(_("Cancel"))
        self.cancelButton.connect("clicked()", self._onCancel)
        self.noteLabel = qt.QLabel()
        self.noteLabel.setWordWrap(True)
        layout.addWidget(self.modelBox, 0, 0)
        layout.addWidget(self.fileButton, 0, 1)
        layout.addWidget(self.deviceBox, 0, 2)
        layout.addWidget(self.progressBar, 1, 0)
        layout.addWidget(self.cancelButton, 1, 1, 1, 2)
        layout.addWidget(self.noteLabel, 2, 0, 1, 3)
        layout.setColumnStretch(0, 1)

    @staticmethod
    def _fill(box: qt.QComboBox, items: list[tuple[str, str, str]], current: str) -> None:
        box.blockSignals(True)
        box.clear()
        for row, (text, data, tooltip) in enumerate(items):
            box.addItem(text, data)
            box.setItemData(row, tooltip, qt.Qt.ToolTipRole)
        box.setCurrentIndex(box.findData(current))
        box.blockSignals(False)

    def _showTransfer(self) -> None:
        transfer = self.store.transfer(self._wanted) if self._wanted else None
        running = transfer is not None and transfer.state == "running"
        if running:
            texts.showProgress(self.progressBar, transfer)
        note = "" if running or transfer is None else transfer.error
        if self._wanted and not running:
            self._wanted = ""  # it failed or was cancelled
        if note or running:
            self.noteLabel.setText(note)
        self.progressBar.setVisible(running)
        self.cancelButton.setVisible(running)
        self.noteLabel.setVisible(bool(self.noteLabel.text))
        if self.store.isTransferring:
            self._timer.start()
        else:
            self._timer.stop()

    # ---- what the user does ------------------------------------------------------------------------------------

    def _onModel(self, row: int) -> None:
        key = self.modelBox.itemData(row)
        model = self.store.model(key)
        self.noteLabel.setText("")
        if model.isUsable:
            self.store.select(key)
            return
        if texts.canDownload(model) and self._confirm(texts.question(model)):
            self._wanted = key
            self.store.download(key)
        elif model.kind == OWN:
            self._showError(model.note)
        self.refresh()

    def _onOwnFile(self) -> None:
        path = self._askFile()
        if not path:
            return
        self.noteLabel.setText("")
        try:
            model = self.store.addOwn(path)
            if model.isForClicks:
                self.store.select(model.key)
            else:
                self.noteLabel.setText(texts.proposes(model))
                self.refresh()
        except (ValueError, OSError) as error:
            self._showError(str(error))

    def _onDevice(self, row: int) -> None:
        self.store.setDevice(self.deviceBox.itemData(row))

    def _onCancel(self) -> None:
        self.store.cancel(self._wanted)

    def _fileDialog(self) -> str:
        title = _("Choose a weights file")
        return qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), title, "", texts.fileFilter())
