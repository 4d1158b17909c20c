"""From what people have to what a request is made of: sources found, images and clips opened, repaired, cut.

The rule: Pillow, OpenCV, PyAV and numpy live here, and every module imports them only when it needs them.
"""
