"""Many scans at once: the same structures and numbers of each, in one table, with what stands out first."""
