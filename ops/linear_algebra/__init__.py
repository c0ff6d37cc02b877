"""Products, systems and factors of matrices."""
