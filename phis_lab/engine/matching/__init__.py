"""Arms beside their teachers: how well they match them."""
