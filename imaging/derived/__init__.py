"""Numbers made out of masks and other numbers, each with its formula, its source and the interval that follows from its inputs."""
