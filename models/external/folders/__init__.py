"""What an engine's own files tell of it, read as data: nothing of theirs is run, torch is not needed."""
