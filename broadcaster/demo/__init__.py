"""What `livetail demo` needs beyond the product itself: a database of its own, a table to play with, a writer."""
