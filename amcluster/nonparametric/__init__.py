"""An unknown number of memories: the Chinese restaurant process."""
