"""Our path against MONAI's sliding window."""
