"""The network: backbone, position code, transformer, heads, masks, and VisTR that joins them."""
