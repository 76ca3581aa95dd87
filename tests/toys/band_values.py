"""Intensities of the hand-made networks' classes, without the libraries that build them."""

BANDS = {"liver": (80, 120), "spleen": (180, 220), "left kidney": (280, 320), "right kidney": (380, 420)}
