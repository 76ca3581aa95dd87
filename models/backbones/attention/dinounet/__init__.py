"""Dino U-Net: a frozen DINOv3 with an adapter beside it, and a U-Net's decoder."""
