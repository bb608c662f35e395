"""The event log on Kafka, for production. Start with `log`."""
