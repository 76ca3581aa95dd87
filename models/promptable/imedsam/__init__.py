"""I-MedSAM."""
