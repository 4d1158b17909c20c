"""Clips: the home of PyAV. Opened, sampled, split and encoded anew."""
