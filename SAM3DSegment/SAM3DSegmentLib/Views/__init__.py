"""What is drawn in the views, and which point a press in a view means. VTK and MRML, without Qt."""
