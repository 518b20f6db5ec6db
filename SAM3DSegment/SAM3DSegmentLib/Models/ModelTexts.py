"""Models in words, for the selector and the manager."""

from __future__ import annotations

from html import escape
from typing import Any

from slicer.i18n import tr as _

from .Model import ABSENT, CATALOGUE, DAMAGED, EMBEDDED, MISSING, OWN, PARTIAL, READY, TRANSFERRING, Model
from .WeightsFile import ENDINGS


def size(model: Model) -> str:
    if model.sizeBytes is None:
        return _("size not stated")
    megabytes = model.sizeBytes / 1e6
    return _("{n} MB").format(n=f"{megabytes:.0f}" if megabytes >= 10 else f"{megabytes:.1f}")


def title(model: Model) -> str:
    return _("Embedded model") if model.kind == EMBEDDED else model.title


def state(model: Model) -> str:
    words = {
        READY: _("installed"),
        ABSENT: _("not downloaded"),
        PARTIAL: _("partly downloaded"),
        TRANSFERRING: _("on its way"),
        MISSING: _("file not found"),
        DAMAGED: _("damaged"),
    }
    return words[model.state]


def choice(model: Model) -> str:
    """As an item of a box."""
    if model.isUsable:
        return title(model)
    if model.state in (ABSENT, PARTIAL):
        return _("{title} (download, {size})").format(title=title(model), size=size(model))
    return _("{title} ({state})").format(title=title(model), state=state(model))


def purpose(model: Model) -> str:
    """What it is for; of an own file, what it is."""
    weights = model.weights
    if weights is None:
        return model.purpose
    if weights.isAdapter:
        return _("your own adapter of {base}").format(base=weights.base or architecture(weights.architecture))
    return _("your own checkpoint: {network}").format(network=architecture(weights.architecture))


def architecture(name: str) -> str:
    words = {
        "": _("a network that is recognised when it is loaded"),
        "compact": _("the embedded model's network"),
        "sam_med3d_vit_b_ori": _("SAM-Med3D ViT-B"),
        "sam": _("SAM, slice by slice"),
        "sam_3d": _("SAM-3D, which proposes whole segments"),
    }
    return words.get(name, name)


def proposes(model: Model) -> str:
    """Why a file is not among the models for clicks, and where it is."""
    return _("{title} proposes whole segments and takes no clicks: it is in the row Propose.").format(
        title=title(model)
    )


def tooltip(model: Model) -> str:
    lines = [purpose(model), ", ".join(part for part in (size(model), model.licence) if part), model.note]
    return "\n".join(line for line in lines if line)


def details(model: Model) -> str:
    """A few lines of rich text: purpose, licence, citation, source, and what is wrong."""
    weights = model.weights
    measured = ", ".join(f"{name} {value:.3g}" for name, value in weights.metrics) if weights else ""
    rows = [
        (_("It is") if weights else _("For"), escape(purpose(model))),
        (_("Size"), escape(size(model))),
        (_("Licence"), escape(model.licence)),
        (_("Please cite"), escape(model.citation)),
        (_("Source"), f"<a href='{escape(model.url)}'>{escape(model.url)}</a>" if model.url else ""),
        (_("Trained on"), escape(", ".join(weights.data)) if weights else ""),
        (_("Measured"), escape(measured)),
        (_("File"), escape(model.key) if model.kind == OWN else ""),
        (_("Note"), escape(model.note)),
    ]
    return "<br>".join(f"<b>{name}:</b> {value}" for name, value in rows if value)


def question(model: Model) -> str:
    """What to ask before a download."""
    return _(
        "Download {title} ({size})?\n\nIt is for {purpose}.\nLicence: {licence}\nFrom: {url}\nPlease cite: {citation}"
    ).format(
        title=title(model),
        size=size(model),
        purpose=model.purpose,
        licence=model.licence,
        url=model.url,
        citation=model.citation,
    )


def canDownload(model: Model) -> bool:
    return model.kind == CATALOGUE and model.state in (ABSENT, PARTIAL)


def device(name: str) -> str:
    words = {"auto": _("Automatic"), "cuda": _("CUDA"), "mps": _("Apple GPU"), "cpu": _("CPU")}
    return words[name]


def deviceInWords(name: str) -> str:
    """Within a sentence."""
    return _("the best device of this computer") if name == "auto" else device(name)


def fileFilter() -> str:
    return _("Weights") + f" (*{' *'.join(ENDINGS)})"


def showProgress(bar: Any, transfer: Any) -> None:
    """A transfer on a progress bar, in MB."""
    received = transfer.received / 1e6
    if transfer.isStopping:
        bar.setFormat(_("Stopping …"))
    elif transfer.total:
        bar.setRange(0, 1000)
        bar.setValue(int(1000 * transfer.received / transfer.total))
        bar.setFormat(_("{done:.0f} of {total:.0f} MB").format(done=received, total=transfer.total / 1e6))
    else:
        bar.setRange(0, 0)
        bar.setFormat(_("{done:.0f} MB").format(done=received))
