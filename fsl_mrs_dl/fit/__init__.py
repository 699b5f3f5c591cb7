"""A scan to a result: reading, alignment, prediction, physical model, result folder, report."""
