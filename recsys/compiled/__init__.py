"""What compiled code shares: threads, vector registers, sums of products of bytes, heaps."""
