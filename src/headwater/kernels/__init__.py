"""Statistics of tensors: ``reference`` says what each one means, ``generic`` computes it with torch operations."""
