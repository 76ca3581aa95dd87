"""FluoroSAM."""
