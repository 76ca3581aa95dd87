"""Files and geometry against other libraries."""
