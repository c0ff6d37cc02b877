"""Parts of arrays: read, written, found and chosen."""
