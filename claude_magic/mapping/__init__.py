"""A prompt over data: the same question for each row of a frame, now or as batches, and the answers beside the rows."""
