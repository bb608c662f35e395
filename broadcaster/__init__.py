"""Live queries over the event log: the language, the evaluator, the hub and the server that pushes diffs."""
