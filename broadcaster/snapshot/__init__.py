"""Initial results, read from the database itself: a module per database."""
