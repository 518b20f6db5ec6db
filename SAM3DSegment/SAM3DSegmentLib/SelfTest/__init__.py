"""The module's own test: it runs inside Slicer, from "Reload and Test" or from ctest, without network and GPU."""
