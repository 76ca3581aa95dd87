"""Arrays on a store of objects that several servers share, with a copy on each server's disk."""
