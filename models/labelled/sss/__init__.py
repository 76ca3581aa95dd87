"""SSS-style learning: reconstruction of a system whose equations were never published."""
