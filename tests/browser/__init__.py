"""What a reader sees in a real browser: one Chromium for all tests of this package, closed at its end."""
