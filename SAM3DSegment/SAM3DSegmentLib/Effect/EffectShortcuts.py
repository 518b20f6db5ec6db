"""The effect's keys, there only while it is active."""

from __future__ import annotations

import qt
import slicer

KEYS = (("N", "nextSegment"), ("X", "flipSign"), ("U", "undoLastClick"), ("A", "acceptSegment"))


class EffectShortcuts:
    """Keys of the main window -> methods of `actions`. Without a main window there are none.

    Keys that Slicer's views and its Segment Editor use are left to them. Esc is theirs too (it leaves the effect), but
    while a request runs, or a box is drawn, it only cancels that.
    """

    def __init__(self, actions) -> None:
        self._actions = actions
        self._shortcuts = []
        self._filter = None

    def install(self) -> None:
        window = slicer.util.mainWindow()
        if window is None or self._shortcuts:
            return
        for key, method in KEYS:
            shortcut = qt.QShortcut(window)
            shortcut.setKey(qt.QKeySequence(key))
            shortcut.connect("activated()", getattr(self._actions, method))
            self._shortcuts.append(shortcut)
        self._filter = EscapeFilter(self._actions, window)
        window.installEventFilter(self._filter)

    def remove(self) -> None:
        for shortcut in self._shortcuts:
            shortcut.activated.disconnect()
            shortcut.setParent(None)
            shortcut.deleteLater()
        self._shortcuts = []
        if self._filter is not None:
            self._filter.parent().removeEventFilter(self._filter)
            self._filter.setParent(None)
            self._filter.deleteLater()
            self._filter = None


class EscapeFilter(qt.QObject):
    """Takes Esc before it becomes a shortcut, while there is something to cancel."""

    def __init__(self, actions, window) -> None:
        qt.QObject.__init__(self, window)
        self.actions = actions

    def eventFilter(self, watched, event) -> bool:
        if event.type() != qt.QEvent.ShortcutOverride or event.key() != qt.Qt.Key_Escape:
            return False
        if not self.actions.hasSomethingToCancel:
            return False
        self.actions.cancel()
        event.accept()
        return True
