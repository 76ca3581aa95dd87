"""What lies in a folder, told by headers alone: enough to choose what to open."""
