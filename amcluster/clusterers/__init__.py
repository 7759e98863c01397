"""The clusterers: their parameters and how each learns."""
