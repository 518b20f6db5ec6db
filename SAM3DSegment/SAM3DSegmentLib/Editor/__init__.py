"""From a point in a view to voxels in a segment: MRML and the engine, without Qt."""
