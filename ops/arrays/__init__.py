"""Arrays: made, converted, and given other shapes, orders and sizes."""
