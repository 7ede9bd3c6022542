"""The event log on Kafka: its consumers, the relay that fills it, and its topics."""
