"""Ways to learn that teach a network by what it, its peers or its past say: self-distillation and training with few labels."""
