"""Pure logic: decisions without I/O, clock or randomness of their own."""
