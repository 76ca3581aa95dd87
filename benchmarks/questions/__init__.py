"""Questions in words, asked of the agent on made bodies and judged by rules."""
