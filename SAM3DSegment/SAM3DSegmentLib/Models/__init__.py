"""Which models there are, their downloads, and the widgets to choose and manage them."""
