"""RQ-VAE: item codes learned from text vectors, as LC-Rec has them, and the quantizer that codes new items."""
