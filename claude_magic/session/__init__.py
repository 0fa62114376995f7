"""The conversations of this kernel: a question, its answer under way, replay, comparison, restore."""
