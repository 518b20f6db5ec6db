"""What a user says to the model: clicks and boxes, in voxel indices of the image."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Click:
    """One click: voxel index (i, j, k) in the image grid, and its sign."""

    ijk: tuple[int, int, int]
    is_foreground: bool = True


@dataclass(frozen=True, slots=True)
class Box:
    """A 3D box, both corners included, in voxel indices of the image grid.

    Raises ValueError when a lower bound lies above its upper bound.
    """

    lower_ijk: tuple[int, int, int]
    upper_ijk: tuple[int, int, int]

    def __post_init__(self) -> None:
        if any(low > high for low, high in zip(self.lower_ijk, self.upper_ijk, strict=True)):
            raise ValueError(
                f"box is inside out: lower corner {self.lower_ijk} must not exceed upper corner {self.upper_ijk}; "
                "swap the two corners"
            )


@dataclass(frozen=True, slots=True)
class Request:
    """Prompts given together, and the candidate chosen of the answer to them; 0 is the model's own choice."""

    prompts: tuple[Click | Box, ...]
    chosen: int = 0

    @property
    def marks_structure(self) -> bool:
        """Whether something in it says where the structure is, not only where it is not."""
        return any(isinstance(prompt, Box) or prompt.is_foreground for prompt in self.prompts)
