"""Live views of a reply while it streams: the panel, the growing answer, the columns of a comparison."""
