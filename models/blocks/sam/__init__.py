"""The parts of Segment Anything, in two dimensions or three; systems put them together."""
