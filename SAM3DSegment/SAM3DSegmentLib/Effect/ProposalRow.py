"""The row that lets a model propose whole segments, there where the user has such a model."""

from __future__ import annotations

import qt
from slicer.i18n import tr as _

from ..Models import ModelTexts as texts


class ProposalRow:
    """actions: propose() and setProposer(key)."""

    def __init__(self, actions) -> None:
        self._actions = actions
        self.widget = qt.QWidget()
        layout = qt.QGridLayout(self.widget)
        layout.setContentsMargins(0, 0, 0, 0)
        self.proposerBox = qt.QComboBox()
        self.proposerBox.toolTip = _("The model of your own that finds its structures without clicks.")
        self.proposerBox.setSizeAdjustPolicy(qt.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        self.proposerBox.connect("activated(int)", lambda row: actions.setProposer(self.proposerBox.itemData(row)))
        self.proposeButton = qt.QPushButton(_("Propose"))
        self.proposeButton.toolTip = _("Find all structures that this model knows, a segment for each.")
        self.proposeButton.connect("clicked()", actions.propose)
        self.foundLabel = qt.QLabel()
        self.foundLabel.wordWrap = True
        layout.addWidget(self.proposerBox, 0, 0)
        layout.addWidget(self.proposeButton, 0, 1)
        layout.addWidget(self.foundLabel, 1, 0, 1, 2)
        layout.setColumnStretch(0, 1)
        self._label = None
        self._shown = ()
        self.showFound("")

    def addTo(self, scriptedEffect) -> None:
        self._label = scriptedEffect.addLabeledOptionsWidget(_("Propose:"), self.widget)

    def show(self, models, chosen, *, isEnabled: bool) -> None:
        """models: those that propose; chosen: one of them, or None where there is none."""
        if models != self._shown:
            self._shown = models
            self.proposerBox.clear()
            for row, model in enumerate(models):
                self.proposerBox.addItem(texts.title(model), model.key)
                self.proposerBox.setItemData(row, texts.tooltip(model), qt.Qt.ToolTipRole)
        if chosen is not None:
            self.proposerBox.setCurrentIndex(self.proposerBox.findData(chosen.key))
        self.proposeButton.enabled = isEnabled
        for widget in (self._label, self.widget):
            widget.setVisible(bool(models))

    def showFound(self, text: str) -> None:
        """What came of it, or "" for nothing."""
        self.foundLabel.text = text
        self.foundLabel.visible = bool(text)
