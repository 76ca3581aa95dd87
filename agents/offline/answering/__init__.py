"""Sentences of answers, each with what it rests on."""
