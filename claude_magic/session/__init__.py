"""The conversations of this kernel, and a question with its answer under way."""
