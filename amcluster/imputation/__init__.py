"""Missing values filled in, as a transformer of a pipeline."""
