"""finetune-SAM."""
