"""Engines of others under our contract: nnU-Net folders, TotalSegmentator, MONAI bundles, servers, any command."""
