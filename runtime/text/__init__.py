"""Text on its way in: tokens, sentences, pieces that Bark says well, and who speaks them."""
