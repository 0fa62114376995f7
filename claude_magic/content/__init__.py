"""What requests, tools and views make of text, images and PDFs: parts, secrets, token estimates."""
