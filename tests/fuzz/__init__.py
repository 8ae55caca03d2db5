"""Random small networks, drawn from all layers of PyTorch: each is exact, or refused, never wrong."""
