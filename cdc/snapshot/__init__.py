"""Collections read whole into the log, in chunks by primary key, while the stream goes on.

A chunk is read between two places of the stream: it begins at a, where the stream stands between two transactions, and
ends at P, a position of the database that covers all that the read saw. What the stream has between a and P takes its
keys out of the chunk, since it is newer; the rest is the database's own state at P and goes out there. No lock, no
signal table. How far the reading came is part of the position, so that it is one write with the rows.
"""
