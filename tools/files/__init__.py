"""What lies in the roots and in the store, and masks that others made."""
