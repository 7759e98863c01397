"""What rows are: distinct, in an order of their own, and weighted."""
