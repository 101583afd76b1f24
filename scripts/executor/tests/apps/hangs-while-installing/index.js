// Never runs: a script of its only package does not end.
