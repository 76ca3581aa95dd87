"""What outlives a process: arrays, records, jobs, the audit."""
