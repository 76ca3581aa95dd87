"""Masks that others made: label files, DICOM segmentations and outlines, brought onto the grid of an image."""
