"""What a GPU does, in one visit of at most eight minutes: its limits, every kernel, whole ways from int16 and files."""
