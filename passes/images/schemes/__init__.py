"""What trained methods are made of: what pulls, what stays, who attacks, how gradients are joined."""
