"""The Slicer layer of SAM3DSegment: everything here may import qt, slicer and vtk; the engine, `sam3dseg`, may not.

Slicer adds the folder above to its path, so `import SAM3DSegmentLib` and `import sam3dseg` both work inside Slicer.
"""
