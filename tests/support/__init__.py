"""What the tests share: real parts to talk with, and makers of values."""
