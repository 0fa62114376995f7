"""Claude's Markdown as sanitized HTML for browsers, and as Markdown without HTML for all others."""
