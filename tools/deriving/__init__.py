"""Numbers derived from masks: hearts, pairs, growth, uptake, calcium, tissue and vessels."""
