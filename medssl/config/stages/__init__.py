"""What a stage may be told: a file a stage, in it one frozen dataclass."""
