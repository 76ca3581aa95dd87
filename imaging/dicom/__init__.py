"""DICOM: series, geometry, pixels, segmentations and contours."""
