"""How distances are measured: covariances and learned metrics."""
