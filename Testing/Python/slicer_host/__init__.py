"""A headless Slicer for tests: the real MRML scene, logics and views of slicer-core, and stand-ins for the Qt half."""
