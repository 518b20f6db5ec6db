"""The Slicer layer of SAM3DSegment: everything here may import qt, slicer and vtk; the engine, `sam3dseg`, may not.

Slicer adds the folder above to its path, so `import SAM3DSegmentLib` and `import sam3dseg` both work inside Slicer. It
looks for the effect's class in this package by name; without Qt, the parts that need none can still be imported.
"""

try:
    import qt  # noqa: F401
except ModuleNotFoundError:
    pass
else:
    from .SegmentEditorEffect import SegmentEditorEffect  # noqa: F401
