"""What was done and what it brought: bytes, decisions, agreement, times."""
