"""`%%claude_map`: one prompt for each row of a frame, asked now or as batches, and the answers as columns."""
