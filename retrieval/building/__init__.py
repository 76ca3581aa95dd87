"""What makes the tables of this folder from open sources."""
