"""Which cell of which file is running, what the file holds, and the recovery journal."""
