"""3DSAM-adapter."""
