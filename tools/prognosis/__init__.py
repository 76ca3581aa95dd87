"""The tool that predicts survival."""
