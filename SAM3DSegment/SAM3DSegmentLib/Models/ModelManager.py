"""The list of models on the module's page: what they are, where they come from, fetching and removing them."""

from __future__ import annotations

import os
from collections.abc import Callable

import qt
import slicer
from slicer.i18n import tr as _

from sam3dseg.catalogue import models_folder
from sam3dseg.download import TOKEN_VARIABLE

from . import ModelTexts as texts
from .Model import CATALOGUE, DAMAGED, EMBEDDED, TRANSFERRING, Model
from .ModelStore import ModelStore, sharedStore

POLL_MS = 200


class ModelManager:
    """`widget` is what to put into a layout. askFile, confirm and showError as in ModelSelector."""

    def __init__(
        self,
        store: ModelStore | None = None,
        *,
        askFile: Callable[[], str] | None = None,
        confirm: Callable[[str], bool] | None = None,
        showError: Callable[[str], None] | None = None,
    ) -> None:
        self.store = store or sharedStore(slicer.app.userSettings())
        self._askFile = askFile or self._fileDialog
        self._confirm = confirm or slicer.util.confirmOkCancelDisplay
        self._showError = showError or slicer.util.errorDisplay
        self._key = self.store.selected
        self.widget = qt.QWidget()
        self._build()
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_MS)
        self._timer.connect("timeout()", self.store.poll)
        self.store.addListener(self.refresh)
        self.refresh()

    @property
    def current(self) -> Model:
        """The model whose line is selected."""
        known = {model.key: model for model in self.store.models()}
        return known.get(self._key) or next(iter(known.values()))

    def choose(self, key: str) -> None:
        """Select a model's line."""
        self._key = key
        self.refresh()

    def close(self) -> None:
        self._timer.stop()
        self.store.removeListener(self.refresh)

    def refresh(self) -> None:
        models, current = self.store.models(), self.current
        self.table.blockSignals(True)
        self.table.setRowCount(len(models))
        for row, model in enumerate(models):
            words = [texts.title(model), texts.state(model), texts.size(model), model.licence]
            if model.key == self.store.selected:
                words[0] = f"✓ {words[0]}"
            for column, word in enumerate(words):
                item = qt.QTableWidgetItem(word)
                item.setToolTip(texts.tooltip(model))
                item.setFont(self._font(isBold=model.key == self.store.selected))
                self.table.setItem(row, column, item)
            if model.key == current.key:
                self.table.selectRow(row)
        self.table.blockSignals(False)
        self.detailsLabel.setText(texts.details(current))
        transfer = self.store.transfer(current.key)
        running = current.state == TRANSFERRING
        if running:
            texts.showProgress(self.progressBar, transfer)
        self.progressBar.setVisible(running)
        self.cancelButton.setVisible(running)
        self.useButton.setEnabled(current.isUsable and current.isForClicks and current.key != self.store.selected)
        self.downloadButton.setEnabled(texts.canDownload(current))
        self.offlineButton.setEnabled(texts.canDownload(current))
        self.removeButton.setEnabled(_isRemovable(current))
        if self.store.isTransferring:
            self._timer.start()
        else:
            self._timer.stop()

    def _font(self, *, isBold: bool) -> qt.QFont:
        font = qt.QFont(self.table.font)
        font.setBold(isBold)
        return font

    # ---- widgets -----------------------------------------------------------------------------------------------

    def _build(self) -> None:
        layout = qt.QVBoxLayout(self.widget)
        self.table = qt.QTableWidget()
        self.table.setColumnCount(4)
        self.table.setHorizontalHeaderLabels([_("Model"), _("State"), _("Size"), _("Licence")])
        self.table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
        self.table.setSelectionMode(qt.QAbstractItemView.SingleSelection)
        self.table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
        self.table.verticalHeader().setVisible(False)
        self.table.verticalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
        self.table.setWordWrap(False)
        self.table.setSizeAdjustPolicy(qt.QAbstractScrollArea.AdjustToContents)
        self.table.connect("itemSelectionChanged()", self._onRow)
        self.detailsLabel = qt.QLabel()
        self.detailsLabel.setWordWrap(True)
        self.detailsLabel.setOpenExternalLinks(True)
        self.progressBar = qt.QProgressBar()
        layout.addWidget(self.table)
        layout.addWidget(self.detailsLabel)
        running = qt.QHBoxLayout()
        layout.addLayout(running)
        buttons = qt.QGridLayout()
        layout.addLayout(buttons)
        self.useButton = self._button(_("Use"), _("Use this model in the effect"), self._onUse)
        self.downloadButton = self._button(_("Download…"), _("Fetch this model; you are asked first"), self._onDownload)
        self.cancelButton = self._button(_("Cancel"), _("Stop; what has arrived is kept"), self._onCancel)
        self.offlineButton = self._button(
            _("From file…"),
            _("This computer has no network: use this model's file, fetched elsewhere"),
            self._onOffline,
        )
        self.removeButton = self._button(
            _("Remove"), _("Delete the downloaded file, or take your own file off this list"), self._onRemove
        )
        self.addButton = self._button(
            _("Add a file of your own…"), _("A checkpoint or an adapter from training"), self._onAdd
        )
        running.addWidget(self.progressBar, 1)
        running.addWidget(self.cancelButton)
        shown = (self.useButton, self.downloadButton, self.offlineButton, self.removeButton)
        for column, button in enumerate(shown):
            buttons.addWidget(button, 0, column)
        buttons.addWidget(self.addButton, 1, 0, 1, 2)
        layout.addWidget(self._hint())
        layout.addStretch(1)

    @staticmethod
    def _button(text: str, tooltip: str, callback: Callable[[], None]) -> qt.QPushButton:
        button = qt.QPushButton(text)
        button.setToolTip(tooltip)
        button.connect("clicked()", callback)
        return button

    @staticmethod
    def _hint() -> qt.QLabel:
        token = _("is set") if os.environ.get(TOKEN_VARIABLE) else _("is not set")
        label = qt.QLabel(
            _(
                "Downloads lie in {folder}. For models behind a login, an access token is read from {name} ({token})."
            ).format(folder=models_folder(), name=TOKEN_VARIABLE, token=token)
        )
        label.setWordWrap(True)
        label.setTextInteractionFlags(qt.Qt.TextSelectableByMouse)
        return label

    # ---- what the user does ------------------------------------------------------------------------------------

    def _onRow(self) -> None:
        row = self.table.currentRow()
        if 0 <= row < len(self.store.models()):
            self.choose(self.store.models()[row].key)

    def _onUse(self) -> None:
        self._try(lambda: self.store.select(self._key))

    def _onDownload(self) -> None:
        if self._confirm(texts.question(self.current)):
            self._try(lambda: self.store.download(self.current.key))

    def _onOffline(self) -> None:
        if path := self._askFile():
            self._try(lambda: self.store.useOfflineFile(self.current.key, path))

    def _onCancel(self) -> None:
        self.store.cancel(self.current.key)

    def _onRemove(self) -> None:
        model = self.current
        isFile = model.kind == CATALOGUE
        question = _("Delete {title} ({size}) from this computer?") if isFile else _("Take {title} off the list?")
        if self._confirm(question.format(title=texts.title(model), size=texts.size(model))):
            self._try(lambda: self.store.remove(model.key))

    def _onAdd(self) -> None:
        if path := self._askFile():
            self._try(lambda: self.choose(self.store.addOwn(path).key))

    def _try(self, action: Callable[[], object]) -> None:
        try:
            action()
        except (ValueError, OSError) as error:
            self._showError(str(error))

    def _fileDialog(self) -> str:
        title = _("Choose a weights file")
        return qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), title, "", texts.fileFilter())


def _isRemovable(model: Model) -> bool:
    if model.kind == CATALOGUE:
        return model.isUsable or model.state in (DAMAGED, "partial")
    return model.kind != EMBEDDED
