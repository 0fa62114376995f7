"""`%%claude_map`: one prompt for each row of a data frame, sent now or as batches; the answers become columns."""
