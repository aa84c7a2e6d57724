"""What an edit does to rows, measured on the weights as they will be stored."""
