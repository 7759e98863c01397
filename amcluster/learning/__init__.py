"""How memories are learned: first memories, EM, and gradients through the dynamics."""
