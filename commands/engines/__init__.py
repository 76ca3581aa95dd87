"""`ostensor engines`: networks you already have, under the same tools as everything else."""
