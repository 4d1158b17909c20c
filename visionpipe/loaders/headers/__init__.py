"""What the headers of JPEG, PNG, WebP and GIF say, read without decoding: bytes in, facts out.

The rule: nothing here raises anything but BadImageError, whatever the bytes.
"""
