"""The text of the effect's help box."""

from __future__ import annotations

from slicer.i18n import tr as _


def helpText() -> str:
    """HTML; its first sentence is what the collapsed box shows."""
    lines = (
        (_("Left click"), _("foreground: this belongs to the structure. In slice views, and in the 3D view on a "
                            "surface or a volume rendering.")),
        (_("Ctrl or Shift + left click"), _("background: this does not belong to it.")),
        (_("Drag a point"), _("the mask follows. Ctrl or Shift + click on a point changes its sign; right-click on it "
                              "to delete it.")),
        (_("SAM and MedSAM"), _("the slice that you click first, then its neighbours, as the rows Slices and Carry "
                                 "on say.")),
        (_("Propose"), _("with a SAM-3D file of your own, all its structures at once, for clicks to correct.")),
        (_("Keys"), _("N next segment, X other sign, U undo the last click, A accept the segment, Esc cancel.")),
    )  # fmt: skip
    items = "".join(f"<li><b>{what}:</b> {does}</li>" for what, does in lines)
    first = _("Click inside a structure to segment it in 3D, correct the mask with more clicks.")
    return f'<html>{first}<br><ul style="margin: 0">{items}</ul></html>'
