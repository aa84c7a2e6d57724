"""What a fleet leaves on the disk, for whoever runs it and whoever looks at it."""
