"""Sixteen everyday jobs, done by an assistant that has nothing but the tools: answers right, calls and tokens counted."""
