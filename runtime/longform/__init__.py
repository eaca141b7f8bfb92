"""Text of any length: segments, the window over them, and its drivers. Free of I/O."""
