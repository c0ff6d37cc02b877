"""Order: sorted arrays, partitions and sets."""
