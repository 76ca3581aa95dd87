"""Networks that turn an image into maps, to be asked or read out by what stands on them."""
