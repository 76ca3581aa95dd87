"""Processes that hold models: protocol, local pool and client."""
