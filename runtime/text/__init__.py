"""Text processing: tokens, sentences, segments that Bark can generate in one go, speakers."""
