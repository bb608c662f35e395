"""What `livetail demo` needs beyond the product itself: a Postgres of its own, a table to play with, a writer."""
