"""Draws the extension's icon: a cube of voxels with one click on it.  `python Resources/draw_icon.py`"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

HERE = Path(__file__).parent
TARGETS = (
    HERE / "SAM3DSegment.png",
    HERE.parent / "SAM3DSegment" / "Resources" / "Icons" / "SAM3DSegment.png",
    HERE.parent / "Viewer" / "sam3dseg_viewer" / "web" / "icon.png",
)
SIZE, OVERSAMPLING, CELLS = 128, 8, 3
TOP, LEFT, RIGHT = (126, 200, 227), (54, 116, 181), (28, 74, 131)
MARKED_TOP, MARKED_LEFT, MARKED_RIGHT = (255, 196, 87), (240, 150, 40), (205, 112, 22)
LINE, CLICK, RING = (245, 249, 252), (62, 190, 98), (255, 255, 255)
MARKED = {(2, 2), (2, 1), (1, 2)}  # cells next to the near corner, on each face


def draw() -> Image.Image:
    """RGBA icon, SIZE x SIZE, transparent outside the cube."""
    scale = SIZE * OVERSAMPLING / 128
    image = Image.new("RGBA", (SIZE * OVERSAMPLING,) * 2)
    pen = ImageDraw.Draw(image)
    near, step = (64.0, 62.0), 50.0 / CELLS
    down, left, right = (0.0, step * 1.1), (-step * 0.98, -step * 0.56), (step * 0.98, -step * 0.56)

    def face(u: tuple[float, float], v: tuple[float, float], plain: tuple, marked: tuple) -> None:
        for a in range(CELLS):
            for b in range(CELLS):
                corners = [(a, b), (a + 1, b), (a + 1, b + 1), (a, b + 1)]
                points = [
                    ((near[0] + p * u[0] + q * v[0]) * scale, (near[1] + p * u[1] + q * v[1]) * scale)
                    for p, q in corners
                ]
                cell = marked if (CELLS - 1 - a, CELLS - 1 - b) in MARKED else plain
                pen.polygon(points, fill=cell)
                pen.line([*points, points[0]], fill=LINE, width=int(1.6 * scale), joint="curve")

    face(left, right, TOP, MARKED_TOP)
    face(left, down, LEFT, MARKED_LEFT)
    face(right, down, RIGHT, MARKED_RIGHT)
    for radius, color in ((15, RING), (12, CLICK), (5, RING)):
        pen.ellipse([(n + sign * radius) * scale for sign in (-1, 1) for n in near], fill=color)
    return image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    icon = draw()
    for target in TARGETS:
        icon.save(target, optimize=True)
