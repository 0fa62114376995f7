"""Objects of other libraries that say more than their class: graphs, grouped frames, fitted models."""
