"""Conversation + content + options → the parameters of the API. Pure: no network, no files, no clock."""
