"""What a model is for, by the architecture that its file names. Nothing here needs PyTorch."""

from __future__ import annotations

CLICKS_3D, CLICKS_2D, PROPOSALS = "clicks in 3D", "clicks in slices", "proposals"
FAMILIES = {"sam_med3d_vit_b_ori": CLICKS_3D, "compact": CLICKS_3D, "sam": CLICKS_2D, "sam_3d": PROPOSALS}
