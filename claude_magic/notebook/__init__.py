"""The running cell, its notebook and its file, the notebook's executions, and the recovery journal."""
