"""Fine-tuning few numbers of a network that is kept."""
