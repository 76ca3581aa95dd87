"""Groups of patients that a network should serve alike."""
