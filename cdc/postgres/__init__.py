"""The Postgres source: pgoutput read from a replication slot, turned into the envelope of `cdc.codec`."""
