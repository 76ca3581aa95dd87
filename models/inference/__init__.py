"""What every predictor needs between image and mask."""
