"""What compiled code shares: threads, vector registers, sparse products on all cores."""
