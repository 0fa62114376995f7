"""Conversation + content + options → the API's parameters. Pure: no network, no files, no clock."""
