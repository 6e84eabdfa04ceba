"""What the service does on a GPU: `python -m benchmarks.gpu`."""
