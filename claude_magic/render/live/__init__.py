"""A reply while it arrives: the panel, the growing answer, the columns of a comparison."""
