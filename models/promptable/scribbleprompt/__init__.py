"""ScribblePrompt."""
