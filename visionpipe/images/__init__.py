"""Images: the home of Pillow and OpenCV. Sniffed, loaded, repaired, laid out, hashed."""
