"""Every text that a user reads in a widget goes through `_()`, as a literal that Slicer's tools can extract."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

MODULE = Path(__file__).resolve().parents[2] / "SAM3DSegment"
# Calls whose texts are shown, and properties that are.
SHOWING = {
    "QLabel",
    "QPushButton",
    "QCheckBox",
    "QGroupBox",
    "QRadioButton",
    "QAction",
    "ctkCollapsibleButton",
    "addItem",
    "addItems",
    "addLabeledOptionsWidget",
    "addRow",
    "addTab",
    "appendPlainText",
    "confirmOkCancelDisplay",
    "confirmYesNoDisplay",
    "errorDisplay",
    "infoDisplay",
    "setFormat",
    "setHorizontalHeaderLabels",
    "setPlaceholderText",
    "setPlainText",
    "setStatusTip",
    "setText",
    "setToolTip",
    "setWindowTitle",
    "showMessage",
    "warningDisplay",
    "_button",
    "_checkBox",
    "_label",
    "_showError",
    "_signButton",
    "_text",
}
PROPERTIES = {"text", "toolTip", "title", "placeholderText", "helpText", "acknowledgementText", "statusTip"}
SOURCES = [MODULE / "SAM3DSegment.py", *sorted((MODULE / "SAM3DSegmentLib").rglob("*.py"))]


def untranslated(source: str) -> list[str]:
    """Texts with letters that are shown as they are, by line."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and nameOf(node.func) in SHOWING:
            shown = [*node.args, *(keyword.value for keyword in node.keywords)]
        elif isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Attribute) and target.attr in PROPERTIES for target in node.targets
        ):
            shown = [node.value]
        else:
            continue
        found += [f"line {text.lineno}: {ast.unparse(text)}" for part in shown for text in rawTexts(part)]
    return found


def rawTexts(node: ast.AST) -> Iterator[ast.AST]:
    """Literals with letters below a node, without those handed to another function."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str) and any(letter.isalpha() for letter in node.value):
            yield node
    elif isinstance(node, ast.JoinedStr):
        for part in node.values:
            if isinstance(part, ast.Constant) and any(letter.isalpha() for letter in tagless(part.value)):
                yield node
                return
    elif isinstance(node, ast.BinOp):
        yield from rawTexts(node.left)
        yield from rawTexts(node.right)
    elif isinstance(node, ast.IfExp):
        yield from rawTexts(node.body)
        yield from rawTexts(node.orelse)
    elif isinstance(node, ast.List | ast.Tuple):
        for element in node.elts:
            yield from rawTexts(element)


def tagless(text: str) -> str:
    return "".join(part.partition(">")[2] if index else part for index, part in enumerate(text.split("<")))


def nameOf(function: ast.AST) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def inextricable(source: str) -> list[str]:
    """Arguments of `_()` that are no literals, by line."""
    calls = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call) and nameOf(n.func) == "_"]
    return [
        f"line {call.lineno}: {ast.unparse(call)}"
        for call in calls
        if len(call.args) != 1 or not (isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str))
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(MODULE).as_posix())
def test_every_shown_text_is_translated(path):
    source = path.read_text(encoding="utf-8")
    assert untranslated(source) == []
    assert inextricable(source) == []


@pytest.mark.parametrize(
    "line",
    [
        'qt.QLabel("Start")',
        'button.setToolTip("Choose" if wanted else _("Other"))',
        'label.text = f"{count} points"',
        'box.addItems(["CPU", name])',
        'parent.title = "SAM"',
        'slicer.util.errorDisplay("failed: " + reason)',
    ],
)
def test_what_is_not_translated_is_found(line):
    assert len(untranslated(line)) == 1


@pytest.mark.parametrize(
    "line", ['qt.QLabel(_("Start"))', 'button.setText("…")', 'label.text = f"<h2>{_("x")}</h2>"', 'log.info("fine")']
)
def test_what_is_translated_or_not_shown_passes(line):
    assert untranslated(line.replace('"x"', "'x'")) == []


def test_texts_that_cannot_be_extracted_are_found():
    assert len(inextricable('_(f"{n} points")\n_(label)\n_("fine")')) == 2
