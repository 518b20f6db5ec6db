"""A check of a model: every precision that it takes on a device, measured on some volumes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .agreement import Case, measured_by_clicks, measured_by_proposals
from .checkpoint import Checkpoint
from .families import FAMILIES, PROPOSALS
from .placement import ON
from .precision_checks import REFERENCE, Check, check_of
from .proposals.proposer import proposer_of
from .request import Progress
from .segmenter import segmenter_of


def check_model(
    checkpoint: Checkpoint, device: str, cases: Sequence[Case], *, on_progress: Callable[[Progress], None] | None = None
) -> tuple[Check, dict[str, str]]:
    """What was measured, and why each precision that is missing in it was left out. device: cpu, cuda, cuda:N or mps.

    Raises ValueError for weights that cannot be used.
    """
    proposes = FAMILIES.get(checkpoint.architecture) == PROPOSALS
    make: Callable[..., Any] = proposer_of if proposes else segmenter_of
    models, refused = {REFERENCE: make(checkpoint, name=REFERENCE, device=device, precision=REFERENCE)}, {}
    for precision in ON[device.split(":")[0]]:
        try:
            models[precision] = make(checkpoint, name=precision, device=device, precision=precision)
        except ValueError as error:
            refused[precision] = str(error)
    measure = measured_by_proposals if proposes else measured_by_clicks
    return check_of(checkpoint, device, measure(models, cases, on_progress=on_progress)), refused
