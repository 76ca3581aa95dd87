"""Reading radiology reports."""
