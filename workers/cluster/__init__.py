"""The same workers on a Ray cluster: a Serve deployment for each model, and the server's torch-free side of it."""
