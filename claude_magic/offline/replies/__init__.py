"""What the stand-in says, and what it counts for it."""
