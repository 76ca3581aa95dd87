"""Recurrences over tokens in linear time: selective state-space scans and matrix LSTMs."""
