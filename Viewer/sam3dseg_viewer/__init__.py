"""The browser viewer: Slicer's own libraries draw and edit, the engine answers clicks, a web page shows it."""
