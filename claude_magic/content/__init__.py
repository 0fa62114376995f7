"""Content of prompts, tool results and replies: prompt parts, images, PDFs, text, secrets, token estimates."""
