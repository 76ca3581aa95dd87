"""Pictures of scans and masks, as radiologists look at them."""
