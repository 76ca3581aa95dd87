"""IMIS-Net."""
