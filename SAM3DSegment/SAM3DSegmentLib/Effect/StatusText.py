"""A Status in words, for the options frame. No Qt widgets."""

from __future__ import annotations

from slicer.i18n import tr as _

MEGABYTE = 2**20


def statusLine(status) -> str:
    """What happened or how far it is, how long it took, where it ran, and the memory that it uses there.

    What the engine has to say of it follows, a line each.
    """
    parts = [status.text, _progress(status.progress) or _timing(status.timing), status.deviceLine]
    if status.deviceBytes:
        parts.append(_("{size} MB").format(size=round(status.deviceBytes / MEGABYTE)))
    return "\n".join((" · ".join(part for part in parts if part), *status.notices))


def foundLine(names, missing) -> str:
    """How many segments a model proposed, and what it found nowhere."""
    if not missing:
        return _("{count} proposed. Click to correct.").format(count=len(names))
    return _("{count} proposed, not found: {names}.").format(count=len(names) - len(missing), names=", ".join(missing))


def candidateLine(status) -> str:
    """Which candidate is the mask, and its predicted IoU."""
    iou = "" if status.predictedIou is None else _("predicted IoU {iou:.2f}").format(iou=status.predictedIou)
    if len(status.candidates) < 2:
        return iou
    number = _("{number} of {count}").format(number=status.chosen + 1, count=len(status.candidates))
    return f"{number}, {iou}" if iou else number


def pointLine(prompts, index: int) -> str:
    """The sign of one prompt, and how many there are."""
    if not prompts:
        return _("none yet")
    sign = _("inside") if prompts[index].isForeground else _("outside")
    return _("{sign}, of {count}").format(sign=sign, count=len(prompts))


def _progress(progress) -> str:
    if progress is None:
        return ""
    if progress.total is None:
        return _("{text}, {done} done").format(text=progress.text, done=progress.done)
    return _("{text}, {done} of {total}").format(text=progress.text, done=progress.done, total=progress.total)


def _timing(timing) -> str:
    if timing is None:
        return ""
    total_s = timing.encode_s + timing.decode_s + timing.paste_s
    if not total_s:
        return ""
    if timing.encodes:
        return _("{total:.2f} s ({encode:.2f} s for encoding)").format(total=total_s, encode=timing.encode_s)
    return _("{total:.2f} s").format(total=total_s)
