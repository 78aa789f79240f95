"""GR00T N1.6: an independent implementation that reads and writes the public checkpoints."""
