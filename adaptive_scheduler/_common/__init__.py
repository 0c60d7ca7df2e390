"""What all rooms use: files, progress, formatting of text, pickles by value."""
