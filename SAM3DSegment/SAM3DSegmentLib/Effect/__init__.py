"""What the user of the effect sees and presses: the options, the clicks in the views, the shortcuts. Needs Qt."""
