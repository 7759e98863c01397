"""Where kernels run: on threads of the CPU, or on a GPU."""
