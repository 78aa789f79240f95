"""What all training loops share: schedule, weight average, training state on disk."""
