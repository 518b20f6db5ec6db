"""`sam3dseg-train prepare`: from a folder of cases to a cache that `fit` reads."""

from __future__ import annotations

from dataclasses import dataclass

from .options import option

LAYOUTS = ("auto", "msd", "nnunet", "folders", "paired")


@dataclass(frozen=True, slots=True)
class PrepareConfig:
    """Check every case, report all problems at once, and keep what training needs.  Given again, it goes on."""

    data: list[str] = option(
        [], "folders, patterns of folders, or .txt files of such lines; all are joined", required=True
    )
    out: str = option("", "folder of the cache", required=True)
    layout: str = option("auto", "how the cases lie in the folders", choices=LAYOUTS)
    channel: int = option(0, "which channel of nnU-Net images", least=0)
    labels: list[str] = option([], "names of the label values 1, 2, …; empty: as the data set says")
    small: int = option(1, "objects of at most so many voxels are left out", least=0)
    sdf: bool = option(False, "signed distance fields in mm, for loss.sdf")
    surfaces: str = option(
        "none", "surfaces by marching cubes, as files of this kind", choices=("none", "stl", "obj", "ply")
    )
    slices: bool = option(False, "2D slices along every axis, for 2D models")
    crop: list[int] = option([], "height and width of the slices; empty: as they are")
    skip_bad: bool = option(False, "leave out cases that cannot be used instead of stopping")
    rebuild: bool = option(False, "make every case anew, and allow other settings than the cache was made with")
    scheduler: str = option("", "address of a Dask scheduler, like tcp://host:8786; empty: this computer")
    jobs: int = option(0, "processes on this computer (0: one per core)", least=0)
