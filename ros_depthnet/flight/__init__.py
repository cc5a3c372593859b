"""A flight: its messages become frames, its frames depth. Live, from a bag, from a posed sequence."""
