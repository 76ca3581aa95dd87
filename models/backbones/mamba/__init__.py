"""Networks of scans: state-space layers and matrix LSTMs."""
