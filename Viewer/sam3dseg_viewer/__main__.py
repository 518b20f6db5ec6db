"""`python -m sam3dseg_viewer IMAGE` is `sam3dseg view IMAGE`."""

import sys

from sam3dseg.cli import main

sys.exit(main(["view", *sys.argv[1:]]))
