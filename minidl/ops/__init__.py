"""How arithmetic is made fast: products, windows, blocks over cores, buffers. Knows arrays, never layers."""
