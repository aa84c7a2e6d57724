"""Who looks for conditions that bring the concept back during training, one file each."""
