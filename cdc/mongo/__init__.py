"""MongoDB: change streams in, change events out."""
